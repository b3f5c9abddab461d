"""What a worker writes down: one call a request, one a stream, and what is read once a tick.

Nothing here is called for a relayed event. A call is some additions to numbers in the worker's own
row (``sheet``): a tenth of a microsecond each, no lock, no formatting.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Protocol

from gateway.domain.stream import StreamEnd
from gateway.telemetry import catalogue as c
from gateway.telemetry.metric import OTHER, LabelSet, Layout
from gateway.telemetry.sheet import Cells


class Metrics(Protocol):
    """What the edge tells of as it happens; everything else is read from where it is counted."""

    def request(self, method: str, route: str, status: int, duration_s: float) -> None:
        """``route`` is the template; empty where none matched."""

    def decision(self, decision: str, cached: bool) -> None:
        """``allow``, ``deny`` or ``error``."""

    def auth_failure(self, reason: str | None) -> None: ...

    def internal_error(self) -> None:
        """A request or a stream failed by the gateway's own fault."""

    def stream_ended(self, end: StreamEnd, outcome: str, duration_s: float) -> None:
        """``outcome`` is ``end.outcome``, or how the client left before it took the end."""


class NoMetrics:
    """Nobody asks."""

    def request(self, method: str, route: str, status: int, duration_s: float) -> None: ...

    def decision(self, decision: str, cached: bool) -> None: ...

    def auth_failure(self, reason: str | None) -> None: ...

    def internal_error(self) -> None: ...

    def stream_ended(self, end: StreamEnd, outcome: str, duration_s: float) -> None: ...


class Histogram:
    """One label set's cells."""

    __slots__ = ("_at", "_bounds", "_cells", "_sum_at")

    def __init__(self, cells: Cells, at: int, bounds: tuple[float, ...]) -> None:
        self._cells, self._at, self._bounds = cells, at, bounds
        self._sum_at = at + len(bounds) + 1

    def observe(self, seconds: float) -> None:
        cells = self._cells
        cells[self._at + bisect_left(self._bounds, seconds)] += 1.0
        cells[self._sum_at] += seconds


class Book:
    """Implements ``Metrics`` on one row; ``add`` and ``set`` are for what is read."""

    def __init__(self, layout: Layout, cells: Cells) -> None:
        self._cells = cells
        self._at = {metric.name: layout.cells_of(metric.name) for metric in layout.metrics}
        self._requests = self._at[c.REQUESTS]
        self._decisions = self._at[c.DECISIONS]
        self._reasons = self._at[c.AUTH_FAILURES]
        self._ends = self._at[c.STREAMS_ENDED]
        self._request_seconds = {
            labels: Histogram(cells, at, c.CALL_BUCKETS_S)
            for labels, at in self._at[c.REQUEST_SECONDS].items()
        }
        self._first_event = self._histogram(c.FIRST_EVENT_SECONDS, c.FIRST_EVENT_BUCKETS_S)
        self._gap = self._histogram(c.GAP_SECONDS, c.GAP_BUCKETS_S)
        self._stream = self._histogram(c.STREAM_SECONDS, c.STREAM_BUCKETS_S)
        self.lag = self._histogram(c.LAG, c.LAG_BUCKETS_S)
        self._statuses = {int(text): text for text in c.STATUSES if text != OTHER}

    def _histogram(self, name: str, bounds: tuple[float, ...]) -> Histogram:
        return Histogram(self._cells, self._at[name][()], bounds)

    def request(self, method: str, route: str, status: int, duration_s: float) -> None:
        seconds = self._request_seconds.get((method, route))
        if seconds is None:
            method, route = method if method in c.METHODS else OTHER, c.UNMATCHED
            seconds = self._request_seconds[method, route]
        seconds.observe(duration_s)
        told = self._statuses.get(status, OTHER)
        self._cells[self._requests[method, route, told]] += 1.0

    def decision(self, decision: str, cached: bool) -> None:
        self._cells[self._decisions[decision, "true" if cached else "false"]] += 1.0

    def auth_failure(self, reason: str | None) -> None:
        at = self._reasons.get((reason or OTHER,))
        self._cells[self._reasons[(OTHER,)] if at is None else at] += 1.0

    def internal_error(self) -> None:
        self.add(c.INTERNAL_ERRORS, (), 1.0)

    def stream_ended(self, end: StreamEnd, outcome: str, duration_s: float) -> None:
        known = (
            (outcome, end.code or c.NONE, end.by)
            if outcome == end.outcome
            else (outcome, c.NONE, "client")
        )
        at = self._ends.get(known)
        if at is not None:
            self._cells[at] += 1.0
        self._stream.observe(duration_s)
        if end.first_event_s is None:
            return
        self._first_event.observe(end.first_event_s)
        if end.events > 1:
            self._gap.observe((duration_s - end.first_event_s) / (end.events - 1))

    def add(self, name: str, labels: LabelSet, more: float) -> None:
        """A counter has counted ``more``."""
        self._cells[self._at[name][labels]] += more

    def set(self, name: str, labels: LabelSet, value: float) -> None:
        """A gauge stands at ``value``."""
        self._cells[self._at[name][labels]] = value
