"""What the edge counts by itself, read once a tick: streams, connections, dependencies' states."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Protocol

from gateway.edge.observe import log_output
from gateway.edge.wire.connections import Connections
from gateway.flows.health import Health
from gateway.telemetry import catalogue as c
from gateway.telemetry import samples, stream_metrics
from gateway.telemetry.samples import Sample


class OpenStreams(Protocol):
    """The streams a worker relays, as far as they are counted here."""

    def __len__(self) -> int: ...

    def passed(self) -> tuple[int, int]:
        """Events passed on and bytes sent, by all streams there were and are."""
        ...


# Counting walks over all tasks, a millisecond for some thousands: not at every tick.
TASKS_EVERY_S = 10.0


class TaskCount:
    """How many tasks the running loop has that are not done."""

    def __init__(self, every_s: float = TASKS_EVERY_S) -> None:
        self._every_s = every_s
        self._count = 0
        self._due = 0.0

    def __call__(self) -> Iterable[Sample]:
        now = asyncio.get_running_loop().time()
        if now >= self._due:
            self._count, self._due = len(asyncio.all_tasks()), now + self._every_s
        yield c.TASKS, (), self._count


def of_edge(streams: OpenStreams, connections: Connections, health: Health) -> Iterable[Sample]:
    events, sent_bytes = streams.passed()
    yield stream_metrics.STREAMS_OPEN, (), len(streams)
    yield stream_metrics.STREAM_EVENTS, (), events
    yield stream_metrics.STREAM_BYTES, (), sent_bytes
    yield c.CONNECTIONS_OPEN, (), len(connections)
    yield c.TURNED_AWAY, (), connections.turned_away_total
    yield c.LOG_LINES_DROPPED, (), log_output.dropped_total()
    yield from _of_health(health)


def _of_health(health: Health) -> Iterator[Sample]:
    yield from samples.worker(_state(health))
    for name, found in health.states.items():
        yield from samples.dependency(name, found.state, found.latency_s)


def _state(health: Health) -> str:
    if health.draining:
        return "draining"
    if health.starting:
        return "starting"
    return "ready" if health.ready else "unready"
