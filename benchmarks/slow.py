"""How much a core may send to clients that take little: the scenario ``slow``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from benchmarks import proc
from benchmarks.bench import Running, alongside
from benchmarks.scenarios import QUIET_RATE, Run, base_row, trouble, warm

SLOW_BYTES_PER_S = 1024
# With a receive window this small the client reads every few seconds; with the default one it would
# stay full for minutes.
SLOW_RECEIVE_BYTES = 8192
SAMPLE_EVERY_S = 1.0


async def slow(run: Run) -> None:
    """A core that sends 1 GiB to each of a few clients that read 1 KiB a second.

    The result is the memory above that of the same number of idle streams.
    """
    for streams in run.sizes.streams:
        async for number, system in run.each():
            await warm(run, system)
            idle: list[proc.Memory] = []
            mark = {"end": lambda said, to=idle, pid=system.pid: to.append(proc.memory(pid))}
            before = proc.memory(system.pid)
            plan = {"url": system.url("/query"), "streams": streams}
            quiet = {"mode": "streams", "rate": QUIET_RATE, "seconds": 3.0, "open_per_s": 100}
            await run.bench.load(plan | quiet, 120, **mark)
            trickle = {
                "mode": "slow",
                "seconds": run.sizes.seconds,
                "read_bytes_s": SLOW_BYTES_PER_S,
                "receive_bytes": SLOW_RECEIVE_BYTES,
            }
            async with _watching(system) as peaks:
                result = await run.bench.load(plan | trickle, run.sizes.seconds + 120)
            run.note(
                base_row(system, streams, number)
                | {
                    "grown_kib_per_stream": (max(peaks) - idle[0].rss_kib) / streams,
                    "idle_kib_per_stream": (idle[0].rss_kib - before.rss_kib) / streams,
                    "ended_early": result["ended_early"],
                    "kib_taken": result["bytes"] / 1024,
                    "watched_s": run.sizes.seconds,
                }
                | trouble(result)
            )


@contextlib.asynccontextmanager
async def _watching(system: Running) -> AsyncIterator[list[int]]:
    """Samples the system's memory (RSS, KiB) until the block ends."""
    found = [0]

    async def watch() -> None:
        while True:
            found.append(proc.memory(system.pid).rss_kib)
            await asyncio.sleep(SAMPLE_EVERY_S)

    async with alongside(watch(), "memory samples"):
        yield found
