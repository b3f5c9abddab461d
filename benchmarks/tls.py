"""``tls``: what an event, an open stream and an opened one cost under TLS, beside plain HTTP.

Each system runs twice side by side, plain and with the same certificate (ECDSA, P-256), before the
same core, and the two take turns under the same load. Memory is measured in processes of their
own, so that what an earlier load left does not count.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from benchmarks import proc
from benchmarks.bench import LoadFailed, Meter, Running
from benchmarks.peers import Pair, Peer
from benchmarks.scenarios import QUIET_RATE, SETTLE_S, Run, base_row, paced, trouble, warm
from benchmarks.summary import Row, order
from devstack.components import Missing
from devstack.processes import Child, StartFailed, run_to_end

PLAIN, TLS = "plain", "tls"
LOADS = (PLAIN, TLS)
# Open at the same time, where memory is measured.
HELD = 1000
OPENED_PER_S = 200


async def tls(run: Run) -> None:
    """Every round of every system, relaying and holding."""
    pair = await _certificate(run)
    for number in range(run.sizes.rounds):
        for peer in order(list(run.peers), number):
            try:
                await _relaying(run, peer, number, pair)
                for load in order(LOADS, number):
                    await _holding(run, peer, number, load, pair)
            except (StartFailed, LoadFailed, Missing) as exc:
                run.fail(number, peer.name, exc, load=PLAIN)


async def _certificate(run: Run) -> Pair:
    folder = run.bench.scratch.path
    pair = Pair(folder / "tls.crt", folder / "tls.key")
    command = [str(run.bench.site.programs["certificate"]), str(pair.cert), str(pair.key)]
    await run_to_end(Child("certificate", command, env=run.bench.environment), 30.0)
    return pair


@contextlib.asynccontextmanager
async def _running(run: Run, peer: Peer, load: str, pair: Pair) -> AsyncIterator[Running]:
    site = run.bench.site
    run.bench.site = replace(site, tls=pair if load == TLS else None)
    try:
        async with run.bench.running(peer) as system:
            yield system
    finally:
        run.bench.site = site


async def _relaying(run: Run, peer: Peer, number: int, pair: Pair) -> None:
    async with contextlib.AsyncExitStack() as ends:
        systems: dict[str, Running] = {}
        for load in LOADS:
            systems[load] = await ends.enter_async_context(_running(run, peer, load, pair))
            await warm(run, systems[load])
        for streams in run.sizes.streams:
            for load in order(LOADS, number):
                run.note(await _relay(run, systems[load], number, load, streams))


async def _relay(run: Run, system: Running, number: int, load: str, streams: int) -> Row:
    meter = Meter(system.pid)
    result = await paced(run, system.url("/query"), streams, run.sizes.seconds, meter)
    row = base_row(system, streams, number) | {"load": load}
    if events := result["events"]:
        row |= {"cpu_us_per_event": meter.used_s / events * 1e6, "events": events}
        row |= {"p50_ms": result["delay_ms"]["p50"], "p99_ms": result["delay_ms"]["p99"]}
    return row | trouble(result)


async def _holding(run: Run, peer: Peer, number: int, load: str, pair: Pair) -> None:
    """Memory of an open stream, and the CPU time of opening one, its handshake included."""
    async with _running(run, peer, load, pair) as system:
        await warm(run, system)
        await asyncio.sleep(SETTLE_S)
        rest = proc.memory(system.pid)
        opening = Meter(system.pid)
        opening.steady({})
        held: list[proc.Memory] = []
        plan: dict[str, Any] = {"mode": "streams", "url": system.url("/query"), "streams": HELD}
        plan |= {"rate": QUIET_RATE, "seconds": 2.0, "settle_s": 0.0, "open_per_s": OPENED_PER_S}
        result = await run.bench.load(
            plan,
            HELD / OPENED_PER_S + 150,
            steady=opening.end,
            end=lambda said: held.append(proc.memory(system.pid)),
        )
        opened = max(HELD - sum(result["failures"].values()), 1)
        run.note(
            base_row(system, HELD, number)
            | {
                "load": load,
                "rss_kib_per_stream": (held[0].rss_kib - rest.rss_kib) / opened,
                "open_cpu_us": opening.used_s / opened * 1e6,
            }
            | trouble(result | {"events_due": None})
        )
