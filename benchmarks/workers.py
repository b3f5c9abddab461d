"""``workers``: what an event and an opening cost over several workers, and who gets the streams;
then what a slow and a dead core among eight do to the streams of the others (``among_eight``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from benchmarks import proc
from benchmarks.among_eight import among_eight
from benchmarks.bench import LoadFailed, Meter, Running
from benchmarks.scenarios import QUIET_RATE, Run, base_row, trouble, warm
from benchmarks.summary import Row, order
from devstack.processes import StartFailed

WORKERS = (1, 2, 4)
# Opened at once, by callers that nobody has seen before: a worker knows nothing of them.
OPENED = 1200


async def workers(run: Run) -> None:
    """Every system with every number of workers, which share all CPUs with the load."""
    alone = run.bench.site
    try:
        for number in range(run.sizes.rounds):
            for count in WORKERS:
                run.bench.site = replace(alone, workers=count)
                await _round(run, number, count)
    finally:
        run.bench.site = alone
    await among_eight(run)


async def _round(run: Run, number: int, count: int) -> None:
    load = f"{count} worker" if count == 1 else f"{count} workers"
    by_name = {peer.name: peer for peer in run.peers}
    for name in order(list(by_name), number):
        try:
            async with run.bench.running(by_name[name]) as system:
                await warm(run, system)
                for streams in run.sizes.streams:
                    row = base_row(system, streams, number) | {"load": load}
                    run.note(row | await _measure(run, system, streams, count))
        except (StartFailed, LoadFailed) as exc:
            run.fail(number, name, exc, load=load)


async def _measure(run: Run, system: Running, streams: int, count: int) -> Row:
    opened, opening_us = await _open(run, system)
    relaying = Meter(system.pid)
    port, held = int(system.base_url.rpartition(":")[2]), dict[int, int]()

    def steady(report: dict[str, Any]) -> None:
        # Now, not at the end: then the clients leave at once.
        held.update(proc.clients_of_children(system.pid, port))
        relaying.steady(report)

    plan = {"mode": "streams", "url": system.url("/query"), "streams": streams, "settle_s": 1.0}
    plan |= {"rate": run.sizes.rate, "seconds": run.sizes.seconds, "open_per_s": 300}
    limit_s = run.sizes.seconds + 150
    relayed = await run.bench.load(plan, limit_s, steady=steady, end=relaying.end)
    return {
        "cpu_us_per_event": relaying.used_s / max(relayed["events"], 1) * 1e6,
        "open_cpu_us": opening_us,
        **spread(held.values(), count),
        **trouble(relayed),
        "failed": sum(relayed["failures"].values()) + sum(opened["failures"].values()),
    }


async def _open(run: Run, system: Running) -> tuple[dict[str, Any], float]:
    """Opens many streams at once: the load's report, and the CPU time of each in microseconds."""
    opening = Meter(system.pid)
    plan = {"mode": "storm", "url": system.url("/query"), "streams": OPENED}
    plan |= {"rate": QUIET_RATE, "seconds": 1.0}
    report = await run.bench.load(plan, 150, steady=opening.steady, end=opening.end)
    return report, opening.used_s / OPENED * 1e6


def spread(held: Iterable[int], count: int) -> Row:
    """The largest and the smallest share of the streams that a worker has, of its fair one.

    Nothing for a system that does not have a process for each worker.
    """
    mine = sorted(held)[-count:]
    if count < 2 or len(mine) < count or not sum(mine):
        return {}
    fair = sum(mine) / count
    return {"most_of_fair": mine[-1] / fair, "least_of_fair": mine[0] / fair}
