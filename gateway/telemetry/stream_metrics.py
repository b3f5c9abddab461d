"""The metrics of answers under way, and of sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.domain.doors import DOORS
from gateway.domain.stream import ENDINGS, Ending, StreamOutcome
from gateway.errors import by_code
from gateway.telemetry.metric import NONE, OTHER, Counter, Gauge, Histogram, LabelSet, sets_of

CLIENT_STALLED = "client_stalled"


def _ends() -> Iterator[LabelSet]:
    for outcome, ending in ENDINGS.items():
        for code in _codes(ending):
            yield outcome.value, code, ending.by
    yield CLIENT_STALLED, NONE, ENDINGS[StreamOutcome.CLIENT_LEFT].by


def _codes(ending: Ending) -> Sequence[str]:
    if ending.error is None:
        return (NONE,)
    return sorted(by_code()) if ending.given else (ending.error.code,)


STREAMS_OPEN = Gauge("gateway_streams_open", "Answers of the core under way.")
STREAMS_ENDED = Counter(
    "gateway_streams_ended_total",
    "Answers of the core that ended: at which door, how, with which error code, by whose doing.",
    labels=("door", "end", "code", "by"),
    series=tuple((door, *end) for door in DOORS for end in _ends()),
    sparse=True,
)
STREAMS_STARTED = Counter(
    "gateway_streams_started_total",
    "Answers asked of the core, by the door that the question came through.",
    labels=("door",),
    series=sets_of(DOORS),
)
STREAM_EVENTS = Counter(
    "gateway_stream_events_total", "Events of the core passed on, streams under way too."
)
STREAM_BYTES = Counter("gateway_stream_bytes_total", "Bytes of event streams handed to clients.")
FIRST_EVENT_SECONDS = Histogram(
    "gateway_stream_first_event_seconds",
    "From the call to the core's first event, for each answer that had one.",
    # A model thinks for half a second to half a minute before its first word …
    buckets=(*(0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 20.0, 30.0),),
)
GAP_SECONDS = Histogram(
    "gateway_stream_event_gap_seconds",
    "An answer's mean time between two events, recorded once at its end.",
    # … then writes 5 to 200 words a second …
    buckets=(
        *(0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.5),
        *(1.0, 5.0, 15.0, 60.0),
    ),
)
STREAM_SECONDS = Histogram(
    "gateway_stream_duration_seconds",
    "From the call to the core to the end of the answer.",
    # … for as long as an answer takes.
    buckets=(
        *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0),
        *(60.0, 120.0, 300.0, 600.0, 900.0),
    ),
)

# --- sockets --------------------------------------------------------------------------------------

SOCKETS_OPEN = Gauge(
    "gateway_sockets_open",
    "WebSockets that are open, and those of them of which nobody is known yet.",
    labels=("state",),
    series=sets_of(("signed_in", "unsigned")),
)
CLOSE_CODES = (
    *("1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1011", "1013"),
    *("4401", "4403", OTHER),
)
SOCKETS_CLOSED = Counter(
    "gateway_sockets_closed_total",
    "WebSockets that were closed, by the close code of who closed first.",
    labels=("code",),
    series=sets_of(CLOSE_CODES),
    sparse=True,
)
