"""What is wrong between a client and the gateway, by what a probe has measured. Plain rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from gateway.commands.probe.measuring import SENT_HEADERS, Measured

# Of events that were sent one by one, so many came together with the one before: more is no chance.
HELD_PART: Final = 0.5
# Sent so far apart, by the sender's clock, two events are two writes.
APART_S: Final = 0.05
# What each answer of the gateway has, whatever its settings.
KEPT_ON_THE_WAY_OUT: Final = frozenset(
    {"cache-control", "content-security-policy", "content-type", "x-content-type-options"}
    | {"x-request-id"}
)
# A proxy may undo codings itself; and who asks is known by the answer.
KEPT_ON_THE_WAY_IN: Final = frozenset({"x-request-id", *map(str.lower, SENT_HEADERS)}) - {
    "accept-encoding"
}


@dataclass(frozen=True, slots=True)
class Fault:
    """``code`` is for programs and for ``advice.CHANGES``; ``what`` says it with what was seen."""

    code: str
    what: str


def faults(seen: Measured) -> list[Fault]:
    """All of them, the worst for a stream first."""
    return [fault for rule in _RULES if (fault := rule(seen)) is not None]


def _buffered(seen: Measured) -> Fault | None:
    ticks = seen.ticks
    apart = [(one, two) for one, two in pairwise(ticks) if two.sent_s - one.sent_s >= APART_S]
    held = sum(one.read == two.read for one, two in apart)
    if not held or held < len(apart) * HELD_PART:
        return None
    sent_s = ticks[-1].sent_s - ticks[0].sent_s
    came_s = ticks[-1].came_s - ticks[0].came_s
    return Fault(
        "buffered",
        f"Events are held back: {len(ticks)} were sent over {sent_s:.1f} s and came within"
        f" {came_s:.1f} s, {held} of them in one read with the one before.",
    )


def _compressed(seen: Measured) -> Fault | None:
    coding = seen.headers.get("content-encoding")
    if not coding or coding == "identity":
        return None
    return Fault(
        "compressed",
        f"The stream is compressed ({coding}), against its `no-transform`: events wait in the"
        " compressor, and clients have to undo it piece by piece.",
    )


def _idle_cut(seen: Measured) -> Fault | None:
    if seen.cut_after_s is None:
        return None
    return Fault(
        "idle_cut",
        f"A silent stream is cut after {seen.cut_after_s:.1f} s; {seen.silence_s:.0f} s of"
        " silence were asked for. The gateway says something at least every 15 s"
        " (GATEWAY_STREAM_PING).",
    )


def _leave_lost(seen: Measured) -> Fault | None:
    if seen.left_after_s is not None or "leave" in seen.skipped:
        return None
    return Fault(
        "leave_lost",
        "A client that leaves is not told to the gateway: answers that nobody reads go on, and"
        " are paid for.",
    )


def _old_http(seen: Measured) -> Fault | None:
    where = [
        place
        for place, version in (("you", seen.version), ("the gateway", str(seen.seen.get("http"))))
        if version == "1.0"
    ]
    if not where:
        return None
    return Fault(
        "http_1_0",
        f"HTTP/1.0 is spoken to {' and '.join(where)}: no connection is used twice, the end of a"
        " stream cannot be told from a cut, and WebSockets do not pass.",
    )


def _headers_lost(seen: Measured) -> Fault | None:
    lost_in, lost_out = lost_on_the_way_in(seen), lost_on_the_way_out(seen)
    if not lost_in and not lost_out:
        return None
    parts = [
        f"{', '.join(sorted(names))} {way}"
        for names, way in ((lost_in, "of requests"), (lost_out, "of answers"))
        if names
    ]
    return Fault("headers_lost", f"Headers are lost on the way: {'; '.join(parts)}.")


def _broken_off(seen: Measured) -> Fault | None:
    if seen.ended == "done":
        return None
    return Fault(
        "broken_off",
        f"The stream ended without its last event ({seen.ended or 'nothing came'}), after"
        f" {len(seen.ticks)} events.",
    )


_RULES: Final[tuple[Callable[[Measured], Fault | None], ...]] = (
    _broken_off,
    _buffered,
    _compressed,
    _idle_cut,
    _leave_lost,
    _old_http,
    _headers_lost,
)


def lost_on_the_way_in(seen: Measured) -> frozenset[str]:
    """What was sent and did not come to the gateway; nothing, where it could not say."""
    if "headers" not in seen.seen:
        return frozenset()
    return KEPT_ON_THE_WAY_IN - frozenset(seen.seen["headers"])


def added_on_the_way_in(seen: Measured) -> list[str]:
    known = KEPT_ON_THE_WAY_IN | {"accept-encoding", "authorization", "x-api-key", "host"}
    return sorted(frozenset(seen.seen.get("headers", ())) - known - {"connection"})


def lost_on_the_way_out(seen: Measured) -> frozenset[str]:
    lost = set(KEPT_ON_THE_WAY_OUT - frozenset(seen.headers))
    if "no-transform" not in seen.headers.get("cache-control", ""):
        lost.add("cache-control")
    if not seen.headers.get("content-type", "").startswith("text/event-stream"):
        lost.add("content-type")
    return frozenset(lost)


def lines(seen: Measured) -> Iterator[tuple[str, str]]:
    """What was seen, as a table for people: a name and what there is to say of it."""
    yield "head", _ms(seen.head_s)
    yield "first event", "never" if seen.first_s is None else _ms(seen.first_s)
    yield "events", f"{len(seen.ticks)} in {len({one.read for one in seen.ticks})} reads"
    if seen.ticks:
        yield "held up", f"by {_ms(max(held_up_s(seen)))} at most, after the first"
    yield "silence", _of_look(seen, "silence", _silence(seen))
    yield "leave", _of_look(seen, "leave", _leave(seen))
    offered = "" if not seen.offers_h2 else " (2 is offered, too)"
    yield "HTTP", f"{seen.version} to you{offered}, {seen.seen.get('http', '?')} to the gateway"
    ended = "TLS as well" if seen.seen.get("tls") else "no TLS"
    yield "TLS", f"{seen.tls_version or 'none'} to you, {ended} to the gateway"
    yield "your address", f"{seen.seen.get('ip') or 'unknown'}, as the gateway sees it"
    lost = sorted(lost_on_the_way_in(seen))
    yield "headers sent", f"lost: {', '.join(lost)}" if lost else "all have come"
    yield "headers added", ", ".join(added_on_the_way_in(seen)) or "none"
    lost = sorted(lost_on_the_way_out(seen))
    yield "headers answered", f"lost: {', '.join(lost)}" if lost else "all have come"


def held_up_s(seen: Measured) -> list[float]:
    """By how much longer than the first one each event was on its way, in seconds."""
    first = seen.ticks[0]
    return [(one.came_s - first.came_s) - (one.sent_s - first.sent_s) for one in seen.ticks]


def _of_look(seen: Measured, look: str, found: str) -> str:
    return f"not looked at: {seen.skipped[look]}" if look in seen.skipped else found


def _silence(seen: Measured) -> str:
    if seen.cut_after_s is None:
        return f"{seen.silence_s:.0f} s without an event are let through"
    return f"cut after {seen.cut_after_s:.1f} s"


def _leave(seen: Measured) -> str:
    if seen.left_after_s is None:
        return "the gateway did not see it"
    return f"seen by the gateway within {_ms(seen.left_after_s)}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
