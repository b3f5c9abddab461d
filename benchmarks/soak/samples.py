"""What a running gateway holds: memory, descriptors and threads from ``/proc``, the rest from its
metrics.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from benchmarks import proc
from benchmarks.bench import alongside
from devstack.components import http_get

Sample = dict[str, float]
EVERY_S = 5.0
_LINE = re.compile(rb"^(gateway_\w+)(\{[^}]*\})? (\S+)$", re.MULTILINE)
# figure → the metric that tells it, and the labels that must be in it.
METRICS = {
    "tasks": ("gateway_tasks", ""),
    "connections": ("gateway_connections_open", ""),
    "streams": ("gateway_streams_open", ""),
    "core_in_use": ("gateway_upstream_connections", 'pool="core",state="in_use"'),
    "core_open": ("gateway_upstream_connections", 'pool="core",state="open"'),
    "restarts": ("gateway_worker_restarts_total", ""),
    "internal_errors": ("gateway_internal_errors_total", ""),
}


class NoMetrics(Exception):
    """The admin listener did not answer."""


@dataclass(frozen=True, slots=True)
class Watched:
    """``pid`` is the supervisor's; ``admin_port`` the admin listener's on 127.0.0.1."""

    pid: int
    admin_port: int

    async def sample(self) -> Sample:
        """All figures as they are now, by their names.

        Raises:
            NoMetrics: the admin listener does not answer.
        """
        held = await asyncio.to_thread(self._held)
        page = await http_get(self.admin_port, "/metrics", timeout_s=20.0)
        if not page.startswith(b"HTTP/1.1 200 "):
            raise NoMetrics(page[:200].decode("utf-8", "replace") or "no answer")
        return {**held, **figures(page)}

    def _held(self) -> Sample:
        memory = proc.memory(self.pid)
        return {
            "rss_kib": memory.rss_kib,
            "pss_kib": memory.pss_kib,
            "files": proc.open_files(self.pid),
            "threads": proc.threads(self.pid),
        }


def figures(page: bytes) -> Sample:
    """The sums of ``METRICS`` in a page of metrics; 0 for one that is not in it."""
    found = dict.fromkeys(METRICS, 0.0)
    for name, labels, value in _LINE.findall(page):
        for figure, (metric, wanted) in METRICS.items():
            if name.decode() == metric and wanted in labels.decode():
                found[figure] += float(value)
    return found


@dataclass(slots=True)
class Series:
    """Samples with the seconds since the first one. ``missed`` counts those that failed."""

    times_s: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    missed: int = 0

    def column(self, figure: str) -> list[float]:
        return [sample[figure] for sample in self.samples]


@contextlib.asynccontextmanager
async def sampling(watched: Watched, every_s: float = EVERY_S) -> AsyncIterator[Series]:
    """Samples until the block ends."""
    series, began = Series(), time.monotonic()

    async def sample() -> None:
        while True:
            at = time.monotonic() - began
            try:
                series.samples.append(await watched.sample())
                series.times_s.append(at)
            except NoMetrics:
                series.missed += 1
            await asyncio.sleep(every_s)

    async with alongside(sample(), "soak samples"):
        yield series
