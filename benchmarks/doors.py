"""``doors``: what a relayed event costs at each door, beside the same event as it came.

The same core, the same events and one process of the gateway: the doors take turns, so that
whatever disturbs the machine disturbs all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.bench import LoadFailed, Meter, Running
from benchmarks.scenarios import Run, base_row, paced, trouble, warm
from benchmarks.summary import Row, order
from devstack.components import free_port
from devstack.processes import StartFailed

# Each door's path. A whole JSON answer has no events that a client sees.
PATHS: Mapping[str, str] = {
    "sse": "/query",
    "ws": "/query/ws",
    "openai": "/openai/v1/chat/completions",
    "grpc": "/knowledge.gateway.v1.QueryService/Ask",
}


def url_of(system: Running, door: str, grpc_port: int) -> str:
    """Where a door is: gRPC has a port of its own."""
    if door == "grpc":
        return f"http://127.0.0.1:{grpc_port}{PATHS[door]}"
    return system.url(PATHS[door])


async def doors(run: Run) -> None:
    """Rounds at all doors of one process, forwards and backwards."""
    port, site = free_port(), run.bench.site
    settings = {**site.gateway_settings, "GATEWAY_GRPC_PORT": str(port)}
    run.bench.site = replace(site, gateway_settings=settings)
    for peer in run.peers:
        try:
            async with run.bench.running(peer) as system:
                for door in PATHS:
                    await warm(run, system, url=url_of(system, door, port), door=door)
                for number in range(run.sizes.rounds):
                    for streams in run.sizes.streams:
                        for door in order(list(PATHS), number):
                            run.note(await _measure(run, system, number, door, streams, port))
        except (StartFailed, LoadFailed) as exc:
            run.fail(0, peer.name, exc, load="sse")


async def _measure(
    run: Run, system: Running, number: int, door: str, streams: int, grpc_port: int
) -> Row:
    meter = Meter(system.pid)
    url = url_of(system, door, grpc_port)
    result = await paced(run, url, streams, run.sizes.seconds, meter, door=door)
    row = base_row(system, streams, number) | {"load": door}
    if events := result["events"]:
        row |= {
            "cpu_us_per_event": meter.used_s / events * 1e6,
            "p50_ms": result["delay_ms"]["p50"],
            "p99_ms": result["delay_ms"]["p99"],
            "events": events,
        }
    return row | trouble(result)
