"""One worker's metrics: its recorder, the tick that reads what is counted elsewhere, all's page.

What flows which way: the edge records with ``recorder`` as requests and streams end; ``run`` reads
the ``sources`` twice a second and gives the sign of life; ``page`` is what Prometheus gets, and
holds the counts of every worker.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

import structlog

from gateway.telemetry import catalogue as c
from gateway.telemetry.exposition import page
from gateway.telemetry.layout import Layout
from gateway.telemetry.metric import Counter, LabelSet
from gateway.telemetry.recorder import MetricsRecorder
from gateway.telemetry.samples import SampleSource
from gateway.telemetry.shared_metrics import (
    ALIVE_AT,
    ROW_CELLS,
    Cells,
    NoRowFree,
    SharedMetrics,
    private_row,
)

log = structlog.get_logger("gateway.metrics")

TICK_S = 0.5


class WorkerMetrics:
    """Made with the application, before there is a worker; ``begin`` is called in the worker.

    Attributes:
        worker: the worker's number, set before ``begin`` where there is more than one.
        recorder: good from the start; what it records before ``begin`` is dropped.
    """

    def __init__(self, layout: Layout, shared: SharedMetrics | None = None) -> None:
        if layout.end > ROW_CELLS:
            raise ValueError(f"{layout.end} numbers do not fit into a row of {ROW_CELLS}")
        self.worker = 0
        self.recorder = MetricsRecorder(layout)
        self.sources: list[SampleSource] = []
        self._layout = layout
        self._shared = shared or SharedMetrics()
        self._last: dict[tuple[Counter, LabelSet], float] = {}
        self._row: Cells | None = None

    def begin(self, sources: Iterable[SampleSource] = ()) -> None:
        """Takes a row for this process."""
        self._row = self._take()
        self.recorder.record_into(self._row)
        self.sources = list(sources)
        for build in self._layout.cells_of(c.BUILD):
            self.recorder.set(c.BUILD, build, 1.0)

    def watch(self) -> WorkerWatch:
        """For the supervisor."""
        return WorkerWatch(self._layout, self._shared)

    def _take(self) -> Cells:
        gauges = self._layout.gauge_cells()
        try:
            return self._shared.take(self.worker, os.getpid(), gauges)
        except NoRowFree:
            log.warning(
                "this process's metrics are missing: too many processes of one number",
                worker=self.worker,
            )
            return private_row()

    def sample(self) -> None:
        """Reads all sources: gauges as they stand, of counters what they counted since."""
        if self._row is None:
            return
        self._row[ALIVE_AT] = self._shared.clock()
        for source in self.sources:
            for metric, labels, value in source():
                if isinstance(metric, Counter):
                    self._count(metric, labels, value)
                else:
                    self.recorder.set(metric, labels, value)

    def _count(self, counter: Counter, labels: LabelSet, total: float) -> None:
        more = total - self._last.get((counter, labels), 0.0)
        if more:
            self._last[counter, labels] = total
            self.recorder.add(counter, labels, more)

    def page(self) -> bytes:
        """All workers' metrics: this one's of this moment, the others' of their last tick."""
        self.sample()
        return page(self._layout, self._shared)

    async def run(self) -> None:
        """Ticks until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            self.recorder.observe(c.LAG, (), max(0.0, loop.time() - due))
            try:
                self.sample()
            except Exception:
                # Without the next ticks this worker would look dead.
                log.exception("metrics not read")

    def end(self) -> None:
        """For a worker that stops as it should: reads the sources once more, frees the row."""
        self.sample()
        if self._row is not None:
            self._shared.release(os.getpid())


class WorkerWatch:
    """Counts in the supervisor: how workers are replaced, as ``children.Watcher``, and lines that
    its own log lost.
    """

    def __init__(self, layout: Layout, shared: SharedMetrics) -> None:
        self._shared = shared
        self._recorder = MetricsRecorder(layout, shared.supervisor_row())
        self._restarts = 0
        self._lines_dropped = 0
        self._cause = "exit"

    def worker_started(self, worker: int, pid: int, restarts: int) -> None:
        """``restarts`` counts the replacements since the supervisor started."""
        self._recorder.add(c.RESTARTS, (self._cause,), restarts - self._restarts)
        self._restarts = restarts

    def worker_died(self, worker: int, pid: int, reason: str) -> None:
        """``reason``: ``exit status 3``, ``SIGKILL``, or ``hung (…)``."""
        self._shared.release(pid)
        self._cause = _cause(reason)

    def log_lines_dropped(self, total: int) -> None:
        """``total`` counts since the supervisor started; called regularly."""
        self._recorder.add(c.LOG_LINES_DROPPED, (), total - self._lines_dropped)
        self._lines_dropped = total


def _cause(reason: str) -> str:
    if reason.startswith("hung"):
        return "hung"
    return "exit" if reason.startswith("exit") else "signal"
