"""``grpc``: what a relayed event costs with a core over gRPC, beside the same over REST.

The same core in one process serves both, and the same events; two processes of the gateway, one for
each protocol, take turns under the same load, so that whatever disturbs the machine disturbs both.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from benchmarks.bench import LoadFailed, Meter, Running
from benchmarks.scenarios import Run, base_row, paced, trouble, warm
from benchmarks.summary import Row, order
from devstack.processes import StartFailed


@dataclass(frozen=True, slots=True)
class Way:
    """Which of the stub core's addresses a gateway asks, and the door that its clients use."""

    core: str
    door: str = "sse"
    path: str = "/query"


# The first one is what the others are compared with.
WAYS: Mapping[str, Way] = {"rest": Way("rest"), "grpc-core": Way("grpc")}


async def grpc(run: Run) -> None:
    """Rounds of all ways, forwards and backwards."""
    [peer] = run.peers
    try:
        async with _started(run) as systems:
            for way in WAYS.values():
                system = systems[way.core]
                await warm(run, system, url=system.url(way.path), door=way.door)
            for number in range(run.sizes.rounds):
                for streams in run.sizes.streams:
                    for name in order(list(WAYS), number):
                        run.note(
                            await _measure(run, systems[WAYS[name].core], number, name, streams)
                        )
    except (StartFailed, LoadFailed) as exc:
        run.fail(0, peer.name, exc, load="rest")


@contextlib.asynccontextmanager
async def _started(run: Run) -> AsyncIterator[Mapping[str, Running]]:
    """A gateway for each protocol to the core; one that waits costs nothing."""
    bench, [peer] = run.bench, run.peers
    site = bench.site
    cores = {"rest": site.core, "grpc": site.core_grpc}
    async with contextlib.AsyncExitStack() as ends:
        systems = {}
        for name in {way.core for way in WAYS.values()}:
            settings = {**site.gateway_settings, "GATEWAY_SERVICES_CORE": cores[name]}
            bench.site = replace(site, gateway_settings=settings)
            systems[name] = await ends.enter_async_context(bench.running(peer))
        bench.site = site
        yield systems


async def _measure(run: Run, system: Running, number: int, name: str, streams: int) -> Row:
    meter, way = Meter(system.pid), WAYS[name]
    result = await paced(
        run, system.url(way.path), streams, run.sizes.seconds, meter, door=way.door
    )
    row = base_row(system, streams, number) | {"load": name}
    if events := result["events"]:
        row |= {
            "cpu_us_per_event": meter.used_s / events * 1e6,
            "p50_ms": result["delay_ms"]["p50"],
            "p99_ms": result["delay_ms"]["p99"],
            "events": events,
        }
    return row | trouble(result)
