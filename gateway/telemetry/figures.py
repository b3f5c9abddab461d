"""One worker's figures: its book, the tick that fills in what is counted elsewhere, all's page.

What flows which way: the edge writes into ``book`` as requests and streams end; ``run`` reads the
``sources`` twice a second and gives the sign of life; ``page`` is what Prometheus gets, and speaks
for every worker.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

import structlog

from gateway.telemetry import catalogue as c
from gateway.telemetry.book import Book
from gateway.telemetry.exposition import page
from gateway.telemetry.metric import LabelSet, Layout
from gateway.telemetry.readings import Source
from gateway.telemetry.sheet import ALIVE_AT, ROW_CELLS, Cells, NoRowFree, Sheet

log = structlog.get_logger("gateway.figures")

TICK_S = 0.5


class Figures:
    """Made with the application, before there is a worker; ``begin`` is called in the worker.

    Attributes:
        worker: the worker's number, set before ``begin`` where there is more than one.
    """

    def __init__(self, layout: Layout, sheet: Sheet | None = None) -> None:
        if layout.end > ROW_CELLS:
            raise ValueError(f"{layout.end} figures do not fit into a row")
        self.worker = 0
        self.sources: list[Source] = []
        self._layout = layout
        self._sheet = sheet or Sheet()
        self._counters = {one.name for one in layout.metrics if one.kind == "counter"}
        self._last: dict[tuple[str, LabelSet], float] = {}
        self._book: Book | None = None
        self._row: Cells | None = None

    @property
    def book(self) -> Book:
        assert self._book is not None, "the worker has not begun"
        return self._book

    def begin(self, sources: Iterable[Source] = ()) -> None:
        """Takes a row for this process."""
        self._row = self._take()
        self._book = Book(self._layout, self._row)
        self.sources = list(sources)
        for build in self._layout.cells_of(c.BUILD):
            self._book.set(c.BUILD, build, 1.0)

    def watch(self) -> WorkerWatch:
        """For the process that starts the workers."""
        return WorkerWatch(self._layout, self._sheet)

    def _take(self) -> Cells:
        gauges = self._layout.gauge_cells()
        try:
            return self._sheet.take(self.worker, os.getpid(), gauges)
        except NoRowFree:
            log.warning("figures not told: too many processes of one number", worker=self.worker)
            return Sheet().take(0, os.getpid(), gauges)

    def sample(self) -> None:
        """Reads all sources: gauges as they stand, of counters what they counted since."""
        if self._row is None:
            return
        self._row[ALIVE_AT] = self._sheet.clock()
        for source in self.sources:
            for name, labels, value in source():
                if name in self._counters:
                    self._count(name, labels, value)
                else:
                    self.book.set(name, labels, value)

    def _count(self, name: str, labels: LabelSet, value: float) -> None:
        more = value - self._last.get((name, labels), 0.0)
        if more:
            self._last[name, labels] = value
            self.book.add(name, labels, more)

    def page(self) -> bytes:
        """Everybody's figures: this worker's of this moment, the others' of their last tick."""
        self.sample()
        return page(self._layout, self._sheet)

    async def run(self) -> None:
        """Ticks for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            self.book.lag.observe(max(0.0, loop.time() - due))
            try:
                self.sample()
            except Exception:
                # Without the next ticks this worker would look dead.
                log.exception("figures not read")

    def end(self) -> None:
        """The last word of a worker that stops as it should; its row is free."""
        self.sample()
        if self._row is not None:
            self._sheet.give_up(os.getpid())


class WorkerWatch:
    """Hears in the process that starts the workers how they come and go.

    ``restarts`` counts the replacements since that process started.
    """

    def __init__(self, layout: Layout, sheet: Sheet) -> None:
        self._sheet = sheet
        self._book = Book(layout, sheet.overseers())
        self._restarts = 0
        self._cause = "exit"

    def worker_started(self, worker: int, pid: int, restarts: int) -> None:
        self._book.add(c.RESTARTS, (self._cause,), restarts - self._restarts)
        self._restarts = restarts

    def worker_died(self, worker: int, pid: int, reason: str) -> None:
        """``reason``: ``exit status 3``, ``SIGKILL``, or ``hung (…)``."""
        self._sheet.give_up(pid)
        self._cause = _cause(reason)


def _cause(reason: str) -> str:
    if reason.startswith("hung"):
        return "hung"
    return "exit" if reason.startswith("exit") else "signal"
