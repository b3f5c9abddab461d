"""The mix: what clients do side by side, each again and again until the time is over."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.bench import Bench, LoadFailed, Running
from benchmarks.soak.clients import Visitors, Wrong

# All of it together takes a modest share of one CPU, of the gateway and of the load: what is looked
# for shows in the number of streams and requests, not in their speed.
LONG_STREAMS = 30
LONG_S = 300.0
SHORT_S = 5.0
UNARY_S = 60.0
UPLOAD_EVERY_S = 2.0
KEY_EVERY_S = 4.0
# What a load's own opening and ending may take beside its time.
GRACE_S = 120.0
# Of 16,500 streams opened and left, one worker took 5 MiB for the first 5,000 and 0.2 MiB for the
# others; of 600 uploads two workers took 8 MiB for the first 450 (the threads and connections of
# the object storage among it) and nothing for the others. At the mix's pace either would take half
# an hour, and look like a leak.
FILLING = {"mode": "churn", "streams": 40, "rate": 20.0, "life_ms": 300.0, "seed": 1}
FILL_PER_WORKER = 6000
FILL_PER_S = 100.0
FILL_UPLOADS_PER_WORKER = 400
FILL_UPLOADS_AT_ONCE = 4

Turn = Callable[[int, float], Awaitable[None]]


@dataclass(slots=True)
class Tally:
    """How much was done of each kind, and what failed, by kind and by what it was."""

    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, done: int, failures: Mapping[str, int]) -> None:
        self.done[kind] += done
        for what, count in failures.items():
            self.failed[f"{kind}: {what}"] += count


class Mix:
    """The clients of one gateway."""

    def __init__(self, bench: Bench, system: Running) -> None:
        self._bench = bench
        self._system = system
        self.tally = Tally()

    async def fill(self, within_s: float) -> None:
        """Many streams, opened and left, and many uploads, as fast as they go: what memory they
        take is taken then."""
        until = time.monotonic() + within_s
        total = min(FILL_PER_WORKER * self._bench.site.workers, int(FILL_PER_S * within_s))
        url = self._system.url("/query")
        await self._bench.load({**FILLING, "url": url, "total": total}, within_s + GRACE_S)
        visitors = self._visitors()
        try:
            await self._upload_many(visitors, max(until, time.monotonic() + within_s / 2))
        finally:
            await visitors.close()

    async def _upload_many(self, visitors: Visitors, until: float) -> None:
        upload = self._visits("uploads", visitors.upload)
        numbers = iter(range(FILL_UPLOADS_PER_WORKER * self._bench.site.workers))

        async def some() -> None:
            for number in numbers:
                if (left_s := until - time.monotonic()) > 0:
                    await upload(number, left_s)

        async with asyncio.TaskGroup() as group:
            for _ in range(FILL_UPLOADS_AT_ONCE):
                group.create_task(some())

    def _visitors(self) -> Visitors:
        tokens = self._bench.site.people.tokens_file.read_text("utf-8").split()
        return Visitors(self._system.url(""), tokens)

    async def run(self, seconds: float) -> None:
        """Everything side by side, for about so long."""
        until = time.monotonic() + seconds
        visitors = self._visitors()
        turns: list[tuple[Turn, float]] = [
            (self._long_streams, 0.0),
            (self._short_streams, 15.0),
            (self._leaving, 0.0),
            (self._reads, 0.0),
            (self._visits("uploads", visitors.upload), UPLOAD_EVERY_S),
            (self._visits("keys", visitors.use_key), KEY_EVERY_S),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for turn, pause_s in turns:
                    group.create_task(_again(turn, pause_s, until))
        finally:
            await visitors.close()

    async def _long_streams(self, number: int, left_s: float) -> None:
        """Minutes long, a few events a second, all left at their end."""
        plan = {"mode": "streams", "streams": LONG_STREAMS, "rate": 5.0, "open_per_s": 20}
        seconds = min(LONG_S, left_s)
        await self._load("long streams", plan | {"seconds": seconds}, "/query", "streams")

    async def _short_streams(self, number: int, left_s: float) -> None:
        """Opened all at one moment, and left all at another."""
        plan = {"mode": "storm", "streams": 25, "rate": 5.0, "seconds": min(SHORT_S, left_s)}
        await self._load("short streams", plan, "/query", "streams")

    async def _leaving(self, number: int, left_s: float) -> None:
        """Before the head, between events, within one; by FIN and by RST."""
        total = int(min(240.0, max(8.0 * left_s, 8.0)))
        plan = {"mode": "churn", "streams": 6, "total": total, "rate": 20.0, "life_ms": 1500.0}
        await self._load("leaving clients", plan | {"seed": number}, "/query", "total")

    async def _reads(self, number: int, left_s: float) -> None:
        """Small requests on connections that are kept for a minute."""
        plan = {"mode": "unary", "streams": 4, "rate": 2.0, "seconds": min(UNARY_S, left_s)}
        await self._load("reads", plan, "/documents/{id}", "requests")

    async def _load(self, kind: str, plan: dict[str, Any], path: str, counted: str) -> None:
        whole = plan | {"url": self._system.url(path)}
        try:
            result = await self._bench.load(whole, plan.get("seconds", 60.0) + GRACE_S)
        except LoadFailed as exc:
            self.tally.add(kind, 1, {str(exc).splitlines()[0]: 1})
        else:
            self.tally.add(kind, result[counted], result["failures"])

    def _visits(self, kind: str, visit: Callable[[int], Awaitable[int]]) -> Turn:
        async def turn(number: int, left_s: float) -> None:
            try:
                self.tally.add(kind, await visit(number), {})
            except (Wrong, httpx.HTTPError) as exc:
                self.tally.add(kind, 1, {str(exc) or type(exc).__name__: 1})

        return turn


async def _again(turn: Turn, pause_s: float, until: float) -> None:
    number = 0
    while (left_s := until - time.monotonic()) > 0:
        await turn(number, left_s)
        number += 1
        await asyncio.sleep(min(pause_s, max(until - time.monotonic(), 0.0)))
