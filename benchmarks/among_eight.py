"""One gateway before eight cores, of which one is slow, or dead, or one of each.

What matters is the time of the streams that the other cores answer: it must stay as it is when all
eight are well. A stream does not say who answered it, but the slow core counts its own, and these
are the slowest: all but so many are the others'. If one of the others were slower than those, it
would stay among the others and show in their 99th percentile.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from benchmarks.bench import LoadFailed, Running
from benchmarks.peers import PEERS
from benchmarks.scenarios import QUIET_RATE, Run, base_row, trouble, warm
from benchmarks.summary import Row, order
from devstack.components import free_port, http_get
from devstack.processes import StartFailed

CORES = 8
LATE_S = 2
STREAMS = 600
OPEN_PER_S = 50
# load → how many of the eight are slow, and how many are dead.
ILL = {
    "8 cores": (0, 0),
    "8 cores, 1 slow": (1, 0),
    "8 cores, 1 dead": (0, 1),
    "8 cores, 1 slow, 1 dead": (1, 1),
}


async def among_eight(run: Run) -> None:
    """The gateway alone: the peers have one address of a core."""
    if not any(peer.name == "gateway" for peer in run.peers):
        return
    for number in range(run.sizes.rounds):
        for load in order(list(ILL), number):
            try:
                run.note(await _measure(run, number, load))
            except (StartFailed, LoadFailed) as exc:
                run.fail(number, "gateway", exc, load=load)


async def _measure(run: Run, number: int, load: str) -> Row:
    slow, dead = ILL[load]
    alone = run.bench.site
    async with contextlib.AsyncExitStack() as ends:
        well = [await ends.enter_async_context(_core(run)) for _ in range(CORES - slow - dead)]
        late = [await ends.enter_async_context(_core(run, LATE_S)) for _ in range(slow)]
        gone = [f"http://127.0.0.1:{free_port()}" for _ in range(dead)]
        settings = {"GATEWAY_SERVICES_CORE": ",".join([*well, *late, *gone])}
        run.bench.site = replace(alone, gateway_settings={**alone.gateway_settings, **settings})
        try:
            async with run.bench.running(PEERS["gateway"]) as system:
                row = base_row(system, STREAMS, number) | {"load": load}
                return row | await _opened(run, system, late)
        finally:
            run.bench.site = alone


async def _opened(run: Run, system: Running, late: Sequence[str]) -> Row:
    await warm(run, system)
    before = [await _opened_by(core) for core in late]
    plan = {"mode": "streams", "url": system.url("/query"), "streams": STREAMS, "seconds": 1.0}
    plan |= {"rate": QUIET_RATE, "open_per_s": OPEN_PER_S, "singly": True}
    result = await run.bench.load(plan, STREAMS / OPEN_PER_S + 150)
    by_slow = sum([await _opened_by(core) for core in late]) - sum(before)
    others = result["first_bytes_ms"][: STREAMS - by_slow]
    return {**quantiles(others), "by_slow": by_slow, **trouble(result | {"events_due": None})}


def quantiles(sorted_ms: Sequence[float]) -> Row:
    """The others' median and 99th percentile."""
    if not sorted_ms:
        return {}
    last = len(sorted_ms) - 1
    shares = {"others_p50_ms": 0.50, "others_p99_ms": 0.99}
    return {name: sorted_ms[int(share * last)] for name, share in shares.items()}


@contextlib.asynccontextmanager
async def _core(run: Run, late_s: int = 0) -> AsyncIterator[str]:
    """A stub core of its own; gives its address."""
    bench = run.bench
    command = [str(bench.site.programs["stubcore"]), "-late", f"{late_s}s"]
    core = bench.listener("stub core", command)
    try:
        await core.start()
        yield f"http://{(await core.next())['core']}"
    finally:
        await core.stop()


async def _opened_by(core: str) -> int:
    answer = await http_get(int(core.rpartition(":")[2]), "/stats")
    opened: int = json.loads(answer.partition(b"\r\n\r\n")[2])["opened"]
    return opened
