"""Rows in shared memory: what stays when their writer dies, and what doesn't."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from gateway.telemetry.shared_metrics import (
    FIRST_CELL,
    GENERATIONS,
    SILENT_S,
    NoRowFree,
    SharedMetrics,
)

COUNTER, GAUGE, END = FIRST_CELL, FIRST_CELL + 1, FIRST_CELL + 2


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def in_a_process(work: Callable[[], None]) -> int:
    """Runs ``work`` in a fork that then dies by SIGKILL; gives its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    return pid


def test_what_a_killed_worker_counted_stays() -> None:
    """Nothing is flushed and nothing is lost: the memory is shared, not the process's."""
    shared = SharedMetrics(2)

    def work() -> None:
        row = shared.take(1, os.getpid(), [GAUGE])
        row[COUNTER] += 41.0
        row[GAUGE] = 7.0

    pid = in_a_process(work)
    assert sum(row[COUNTER] for row in shared.read(END)[0]) == 41.0
    shared.release(pid)
    assert shared.read(END)[1] == []


def test_the_next_of_a_number_counts_on() -> None:
    """However often a worker dies no row is added, and its successor's gauges begin at zero."""
    shared = SharedMetrics(2)
    for _ in range(3 * GENERATIONS):

        def work() -> None:
            row = shared.take(0, os.getpid(), [GAUGE])
            assert row[GAUGE] == 0.0
            row[COUNTER] += 1.0
            row[GAUGE] = 7.0

        shared.release(in_a_process(work))
    assert [row[COUNTER] for row in shared.read(END)[0] if row[COUNTER]] == [3.0 * GENERATIONS]


def test_gauges_of_a_silent_worker_do_not_count() -> None:
    """Also where nobody says that it is gone."""
    time = Time()
    shared = SharedMetrics(1, time)
    shared.take(0, 4711, [])
    assert len(shared.read(END)[1]) == 1
    time.now += SILENT_S + 0.1
    assert shared.read(END)[1] == []


def test_a_worker_that_only_ends_its_streams_keeps_its_row() -> None:
    """Its successor has the same number, and a row of its own."""
    shared = SharedMetrics(2)
    old = shared.take(0, 1, [])
    new = shared.take(0, 2, [])
    old[COUNTER], new[COUNTER] = 3.0, 4.0
    assert sum(row[COUNTER] for row in shared.read(END)[0]) == 7.0
    assert len(shared.read(END)[1]) == 2


def test_two_numbers_never_share_a_row() -> None:
    """Whatever their generations."""
    shared = SharedMetrics(3)
    for number in range(3):
        for generation in range(GENERATIONS):
            row = shared.take(number, 100 * number + generation + 1, [])
            assert row[COUNTER] == 0.0
            row[COUNTER] = 1.0
        with pytest.raises(NoRowFree):
            shared.take(number, 1, [])
    assert shared.supervisor_row()[COUNTER] == 0.0
