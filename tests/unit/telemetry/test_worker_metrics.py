"""The tick, and the process that looks after the workers."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import catalogue as c
from gateway.telemetry import stream_metrics
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.samples import Sample
from gateway.telemetry.shared_metrics import SharedMetrics
from gateway.telemetry.worker_metrics import WorkerMetrics, WorkerWatch

LAYOUT = layout_for([], ("1.0", "3.11"))


def exposed(metrics: WorkerMetrics) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
    }


def begun(shared: SharedMetrics, worker: int, *found: Sample) -> tuple[WorkerMetrics, list[Sample]]:
    metrics, values = WorkerMetrics(LAYOUT, shared), list(found)
    metrics.worker = worker
    metrics.begin([lambda: list(values)])
    return metrics, values


def test_a_count_is_added_once_and_a_gauge_stands() -> None:
    """Sources give their totals; the row gets what came since."""
    metrics, values = begun(
        SharedMetrics(), 0, (c.TURNED_AWAY, (), 5), (stream_metrics.STREAMS_OPEN, (), 3)
    )
    metrics.sample()
    values[:] = [(c.TURNED_AWAY, (), 7), (stream_metrics.STREAMS_OPEN, (), 1)]
    found = exposed(metrics)
    assert (found[c.TURNED_AWAY.name,], found[stream_metrics.STREAMS_OPEN.name,]) == (7.0, 1.0)
    assert exposed(metrics)[c.TURNED_AWAY.name,] == 7.0


def test_a_successor_begins_to_count_where_the_dead_one_stopped() -> None:
    """Its own sources begin at zero again: the total doesn't."""
    shared = SharedMetrics(2)
    first, _ = begun(shared, 0, (c.TURNED_AWAY, (), 5), (stream_metrics.STREAMS_OPEN, (), 3))
    first.sample()
    first.end()
    second, _ = begun(shared, 0, (c.TURNED_AWAY, (), 1), (stream_metrics.STREAMS_OPEN, (), 0))
    found = exposed(second)
    assert (found[c.TURNED_AWAY.name,], found[stream_metrics.STREAMS_OPEN.name,]) == (6.0, 0.0)


def test_what_was_counted_since_the_last_tick_is_not_lost_at_the_end() -> None:
    """A worker that drained in a fraction of a second counted most of it since then."""
    shared = SharedMetrics(2)
    ended, values = begun(shared, 0, (c.TURNED_AWAY, (), 5))
    ended.sample()
    values[:] = [(c.TURNED_AWAY, (), 9)]
    ended.end()
    other, _ = begun(shared, 1)
    assert exposed(other)[c.TURNED_AWAY.name,] == 9.0


def test_any_worker_has_the_page_of_all() -> None:
    """Two of them, asked in turn, give the same."""
    shared = SharedMetrics(2)
    one, _ = begun(shared, 0, (stream_metrics.STREAMS_OPEN, (), 3))
    other, _ = begun(shared, 1, (stream_metrics.STREAMS_OPEN, (), 4))
    one.sample(), other.sample()
    assert exposed(one) == exposed(other)
    assert exposed(one)[stream_metrics.STREAMS_OPEN.name,] == 7.0


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("SIGKILL", "signal"),
        ("signal 64", "signal"),
        ("exit status 3", "exit"),
        ("hung (no heartbeat for 10 s)", "hung"),
    ],
)
def test_a_replaced_worker_counts_by_what_ended_it(reason: str, cause: str) -> None:
    """Once, when its successor is there; its gauges are gone at once."""
    shared = SharedMetrics(2)
    watch = WorkerWatch(LAYOUT, shared)
    one, _ = begun(shared, 0)
    watch.worker_started(0, 1, 0)
    shared.take(1, 2, LAYOUT.gauge_cells())[LAYOUT.cell(stream_metrics.STREAMS_OPEN)] = 9.0
    watch.worker_started(1, 2, 0)
    assert exposed(one)[stream_metrics.STREAMS_OPEN.name,] == 9.0
    watch.worker_died(1, 2, reason)
    assert exposed(one)[stream_metrics.STREAMS_OPEN.name,] == 0.0
    watch.worker_started(1, 3, 1)
    found = {
        labels: value for labels, value in exposed(one).items() if labels[0] == c.RESTARTS.name
    }
    assert {key[1] for key, value in found.items() if value} == {cause}
    assert sum(found.values()) == 1.0


def test_each_replacement_counts_once() -> None:
    """The supervisor gives their number since it started, again with every worker's start."""
    shared = SharedMetrics(2)
    watch = WorkerWatch(LAYOUT, shared)
    one, _ = begun(shared, 0)
    for pid, restarts in ((1, 0), (2, 0), (3, 1), (4, 2), (5, 2)):
        watch.worker_started(1, pid, restarts)
        watch.worker_died(1, pid, "SIGKILL")
    found = exposed(one)
    assert sum(value for labels, value in found.items() if labels[0] == c.RESTARTS.name) == 2.0


def test_lines_that_the_supervisors_log_lost_are_counted_once() -> None:
    """They are added to those of the workers; the supervisor gives its total again and again."""
    shared = SharedMetrics(1)
    watch = WorkerWatch(LAYOUT, shared)
    one, _ = begun(shared, 0, (c.LOG_LINES_DROPPED, (), 3))
    one.sample()
    for total in (0, 5, 5, 7):
        watch.log_lines_dropped(total)
    assert exposed(one)[c.LOG_LINES_DROPPED.name,] == 10.0


def test_one_too_many_of_a_number_still_serves() -> None:
    """Without a row its metrics are missing; that is all."""
    shared = SharedMetrics(1)
    for _ in range(5):
        metrics, _ = begun(shared, 0, (stream_metrics.STREAMS_OPEN, (), 1))
        metrics.sample()
    assert exposed(metrics)[stream_metrics.STREAMS_OPEN.name,] == 4.0


async def test_a_source_that_fails_does_not_stop_the_tick() -> None:
    """A worker whose metrics cannot be read for once is not one that is dead."""
    shared, asked = SharedMetrics(), asyncio.Event()
    metrics = WorkerMetrics(LAYOUT, shared)

    def failing() -> list[Sample]:
        if ticks.pop():
            raise RuntimeError("for once")
        asked.set()
        return [(stream_metrics.STREAMS_OPEN, (), 3)]

    ticks = [False, False, True]
    metrics.begin([failing])
    ticking = asyncio.create_task(metrics.run())
    async with asyncio.timeout(20):
        await asked.wait()
    ticking.cancel()
    await asyncio.wait([ticking])
    assert exposed(metrics)[stream_metrics.STREAMS_OPEN.name,] == 3.0
