"""The tick, and the process that looks after the workers."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import catalogue as c
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.figures import Figures, WorkerWatch
from gateway.telemetry.readings import Reading
from gateway.telemetry.sheet import Sheet

LAYOUT = layout_for([], ("1.0", "3.11"))


def told(figures: Figures) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(figures.page().decode())
        for sample in family.samples
    }


def begun(sheet: Sheet, worker: int, *found: Reading) -> tuple[Figures, list[Reading]]:
    figures, values = Figures(LAYOUT, sheet), list(found)
    figures.worker = worker
    figures.begin([lambda: list(values)])
    return figures, values


def test_a_count_is_added_once_and_a_gauge_stands() -> None:
    """Sources tell their totals; a sheet's row gets what came since."""
    figures, values = begun(Sheet(), 0, (c.TURNED_AWAY, (), 5), (c.STREAMS_OPEN, (), 3))
    figures.sample()
    values[:] = [(c.TURNED_AWAY, (), 7), (c.STREAMS_OPEN, (), 1)]
    found = told(figures)
    assert (found[c.TURNED_AWAY,], found[c.STREAMS_OPEN,]) == (7.0, 1.0)
    assert told(figures)[c.TURNED_AWAY,] == 7.0


def test_a_successor_begins_to_count_where_the_dead_one_stopped() -> None:
    """Its own sources begin at nought again: the total doesn't."""
    sheet = Sheet(2)
    first, _ = begun(sheet, 0, (c.TURNED_AWAY, (), 5), (c.STREAMS_OPEN, (), 3))
    first.sample()
    first.end()
    second, _ = begun(sheet, 0, (c.TURNED_AWAY, (), 1), (c.STREAMS_OPEN, (), 0))
    found = told(second)
    assert (found[c.TURNED_AWAY,], found[c.STREAMS_OPEN,]) == (6.0, 0.0)


def test_any_worker_speaks_for_all() -> None:
    """Two of them, asked in turn, say the same."""
    sheet = Sheet(2)
    one, _ = begun(sheet, 0, (c.STREAMS_OPEN, (), 3))
    other, _ = begun(sheet, 1, (c.STREAMS_OPEN, (), 4))
    one.sample(), other.sample()
    assert told(one) == told(other)
    assert told(one)[c.STREAMS_OPEN,] == 7.0


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
    sheet = Sheet(2)
    watch = WorkerWatch(LAYOUT, sheet)
    one, _ = begun(sheet, 0)
    watch.worker_started(0, 1, 0)
    sheet.take(1, 2, LAYOUT.gauge_cells())[LAYOUT.cell(c.STREAMS_OPEN)] = 9.0
    watch.worker_started(1, 2, 0)
    assert told(one)[c.STREAMS_OPEN,] == 9.0
    watch.worker_died(1, 2, reason)
    assert told(one)[c.STREAMS_OPEN,] == 0.0
    watch.worker_started(1, 3, 1)
    found = {labels: value for labels, value in told(one).items() if labels[0] == c.RESTARTS}
    assert {labels[1] for labels, value in found.items() if value} == {cause}
    assert sum(found.values()) == 1.0


def test_one_too_many_of_a_number_still_serves() -> None:
    """Without a row its figures are missing; that is all."""
    sheet = Sheet(1)
    for _ in range(5):
        figures, _ = begun(sheet, 0, (c.STREAMS_OPEN, (), 1))
        figures.sample()
    assert told(figures)[c.STREAMS_OPEN,] == 4.0


async def test_a_source_that_fails_does_not_stop_the_tick() -> None:
    """A worker whose figures cannot be read for once is not one that is dead."""
    sheet, asked = Sheet(), asyncio.Event()
    figures = Figures(LAYOUT, sheet)

    def failing() -> list[Reading]:
        if ticks.pop():
            raise RuntimeError("for once")
        asked.set()
        return [(c.STREAMS_OPEN, (), 3)]

    ticks = [False, False, True]
    figures.begin([failing])
    ticking = asyncio.create_task(figures.run())
    async with asyncio.timeout(20):
        await asked.wait()
    ticking.cancel()
    await asyncio.wait([ticking])
    assert told(figures)[c.STREAMS_OPEN,] == 3.0
