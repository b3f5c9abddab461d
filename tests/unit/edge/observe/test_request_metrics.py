"""What one request, and the end of one stream, leaves in the metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.domain.doors import Door
from gateway.domain.policy import Decision, deny
from gateway.domain.stream import StreamEnd
from gateway.edge.observe.request_metrics import count_request, count_stream_end
from gateway.edge.scope import Scope
from gateway.errors import (
    Forbidden,
    GatewayError,
    InternalError,
    InvalidCredentials,
    PolicyUnavailable,
    StorageUnavailable,
    TokenExpired,
    Unauthenticated,
)
from gateway.telemetry import catalogue as c
from gateway.telemetry import stream_metrics
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.metric import Histogram, LabelSet, Metric
from gateway.telemetry.recorder import MetricsRecorder
from gateway.telemetry.shared_metrics import private_row

LAYOUT = layout_for([("GET", "/a"), ("POST", "/a/<id:str>")], ("1.0", "3.11"))


class Recorded:
    """A recorder and what stands in its row."""

    def __init__(self) -> None:
        self._row = private_row()
        self.recorder = MetricsRecorder(LAYOUT, self._row)

    def counts(self, metric: Metric) -> dict[LabelSet, float]:
        row = self._row
        return {labels: row[at] for labels, at in LAYOUT.cells_of(metric).items() if row[at]}

    def histogram(self, metric: Histogram, *labels: str) -> tuple[float, list[float]]:
        """The sum, and each bucket's count."""
        at = LAYOUT.cell(metric, *labels)
        in_all, *counts = (self._row[at + n] for n in range(metric.cells))
        return in_all, counts


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def record(
    recorded: Recorded,
    status: int = 200,
    *,
    method: str = "GET",
    route: str | None = "/a",
    duration_s: float = 0.1,
    **known: Any,
) -> None:
    scope = Scope("id", "", None, 0.0, 0.0, **known)
    context = SimpleNamespace(metrics=recorded.recorder)
    app = SimpleNamespace(ctx=SimpleNamespace(gateway=context))
    request: Any = SimpleNamespace(app=app, method=method)
    count_request(request, scope, route, status, duration_s)


def ended(door: Door, how: str) -> Scope:
    """The scope of a question whose answer is over."""
    return Scope("id", "", None, 0.0, 0.0, door=door, stream_end=how)


def counted(status: int, **known: Any) -> Recorded:
    recorded = Recorded()
    record(recorded, status, **known)
    return recorded


def test_a_request_counts_under_its_template(recorded: Recorded) -> None:
    """And its duration falls into one bucket."""
    record(recorded, 200, duration_s=0.003)
    record(recorded, 404, duration_s=0.3)
    assert recorded.counts(c.REQUESTS) == {("GET", "/a", "200"): 1.0, ("GET", "/a", "404"): 1.0}
    in_all, counts = recorded.histogram(c.REQUEST_SECONDS, "GET", "/a")
    assert counts[2] == counts[8] == 1.0
    assert sum(counts) == 2.0
    assert in_all == pytest.approx(0.303)


def test_a_request_counts_at_its_door() -> None:
    """With its status; what the log calls a door is a door of the metrics."""
    assert counted(200, door="ws").counts(c.DOOR_REQUESTS) == {("ws", "200"): 1.0}
    assert counted(404).counts(c.DOOR_REQUESTS) == {("http", "404"): 1.0}


@pytest.mark.parametrize(
    ("method", "route", "status", "labels"),
    [
        ("GET", None, 404, ("GET", c.UNMATCHED, "404")),
        ("GET", "", 404, ("GET", c.UNMATCHED, "404")),
        ("BREW", None, 501, ("other", c.UNMATCHED, "501")),
        ("BREW", "/a", 405, ("other", c.UNMATCHED, "405")),
        ("DELETE", "/a", 405, ("DELETE", c.UNMATCHED, "405")),
        ("GET", "/a", 299, ("GET", "/a", "other")),
        ('x"} 1\nforged{a="', "/a/../b", -1, ("other", c.UNMATCHED, "other")),
    ],
)
def test_what_is_not_listed_is_other(
    recorded: Recorded, method: str, route: str | None, status: int, labels: tuple[str, ...]
) -> None:
    """A client chooses among the label sets there are; it adds none."""
    record(recorded, status, method=method, route=route)
    assert recorded.counts(c.REQUESTS) == {labels: 1.0}
    assert sum(recorded.histogram(c.REQUEST_SECONDS, *labels[:2])[1]) == 1.0


@pytest.mark.parametrize(
    ("decision", "error", "expected"),
    [
        (Decision(True, "allowed", "d"), None, {("allow", "false"): 1.0}),
        (Decision(True, "allowed", "d", cached=True), None, {("allow", "true"): 1.0}),
        (Decision(False, "role", "d"), Forbidden(), {("deny", "false"): 1.0}),
        (Decision(False, "role", "d", cached=True), Forbidden(), {("deny", "true"): 1.0}),
        (deny("policy_broken", "d"), PolicyUnavailable(), {("error", "false"): 1.0}),
        (None, PolicyUnavailable(), {("error", "false"): 1.0}),
        (None, StorageUnavailable(), {}),
    ],
)
def test_decisions(
    decision: Decision | None, error: GatewayError | None, expected: dict[LabelSet, float]
) -> None:
    """An unavailable policy counts as an error, and so does a broken one: neither denied."""
    recorded = counted(200, decision=decision, error=error, action="documents:list")
    assert recorded.counts(c.DECISIONS) == expected


def test_a_public_route_has_no_decision() -> None:
    assert counted(200).counts(c.DECISIONS) == {}


@pytest.mark.parametrize(
    ("error", "reason", "expected"),
    [
        (TokenExpired(reason="expired"), "expired", "expired"),
        (InvalidCredentials(), None, "password"),
        (Unauthenticated(reason="a new word"), "a new word", "other"),
        (Unauthenticated(reason="a new word"), None, "other"),
    ],
)
def test_refused_credentials(error: GatewayError, reason: str | None, expected: str) -> None:
    """By the reason that stands in the log; a login's is the password.

    A new word for the log doesn't need a new series, and no word at all is no fault.
    """
    recorded = counted(401, error=error, auth_reason=reason)
    assert recorded.counts(c.AUTH_FAILURES) == {(expected,): 1.0}


@pytest.mark.parametrize("status", [500, 200])
def test_a_fault_of_our_own_counts_once(status: int) -> None:
    """As an answer, or as a stream's last event."""
    assert counted(status, error=InternalError()).counts(c.INTERNAL_ERRORS) == {(): 1.0}
    assert counted(503, error=StorageUnavailable()).counts(c.INTERNAL_ERRORS) == {}


def test_a_streams_end_counts_with_its_times(recorded: Recorded) -> None:
    """The gap is the mean over the stream: (10 s - 2 s) / 8."""
    end = StreamEnd("done", None, "nobody", 9, 900, 2.0)
    count_stream_end(recorded.recorder, ended("sse", "done"), end, 10.0)
    assert recorded.counts(stream_metrics.STREAMS_ENDED) == {("sse", "done", "none", "nobody"): 1.0}
    for metric, value in (
        (stream_metrics.FIRST_EVENT_SECONDS, 2.0),
        (stream_metrics.GAP_SECONDS, 1.0),
        (stream_metrics.STREAM_SECONDS, 10.0),
    ):
        in_all, counts = recorded.histogram(metric)
        assert counts[metric.buckets.index(value)] == 1.0
        assert in_all == value


def test_a_client_that_stalls_over_the_last_bytes_has_stalled(recorded: Recorded) -> None:
    """However the core's part of the stream had ended."""
    end = StreamEnd("draining", "DRAINING", "gateway", 0, 0, None)
    count_stream_end(recorded.recorder, ended("ws", "client_stalled"), end, 1.0)
    assert recorded.counts(stream_metrics.STREAMS_ENDED) == {
        ("ws", "client_stalled", "none", "client"): 1.0
    }
