"""``limits``: what counting costs: the gateway without limits, with some in the memory that its
workers share, and with the same in Redis.

Each way of counting is a load of its own, ``off`` the one that the others are compared with. The
limits are so high that nobody meets them: what is measured is the counting.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from benchmarks.bench import Bench, LoadFailed, Meter, Running
from benchmarks.scenarios import QUIET_RATE, Run, base_row, paced, trouble, warm
from benchmarks.summary import Row, order
from devstack import components
from devstack.processes import StartFailed
from devstack.redis_server import launch_redis

# Three limits on a document's read; on a question two rates and the open streams.
MANY = "1000000/s"
LIMITS = (
    f"documents:* {MANY} per subject; query:run {MANY} per subject, 100000 open per subject;"
    f" auth:me {MANY} per subject; *:* {MANY} per tenant, {MANY} per subject"
)
OFF = "off"
# Opened at once.
OPENED = 1000
RELAYED = 100
CONNECTIONS = 32
# A few requests one after the other cannot travel together.
ALONE = 2


async def limits(run: Run) -> None:
    """Every way of counting, in another order each round."""
    async with redis_beside(run.bench) as url:
        ways: Mapping[str, Mapping[str, str]] = {
            OFF: {},
            "memory": {"GATEWAY_LIMITS": LIMITS},
            "Redis": {"GATEWAY_LIMITS": LIMITS, "GATEWAY_REDIS_URL": url},
        }
        await by_settings(run, ways, RELAYED, _measure)


async def by_settings(
    run: Run,
    ways: Mapping[str, Mapping[str, str]],
    streams: int,
    measure: Callable[[Run, Running], Awaitable[Row]],
) -> None:
    """Measures the gateway with the settings of each way, in another order each round.

    Each way is a load of its own, and each measurement a process of its own.
    """
    site = run.bench.site
    try:
        for number in range(run.sizes.rounds):
            for way in order(list(ways), number):
                settings = {**site.gateway_settings, **ways[way]}
                run.bench.site = replace(site, gateway_settings=settings)
                for peer in run.peers:
                    try:
                        async with run.bench.running(peer) as system:
                            await warm(run, system)
                            row = base_row(system, streams, number) | {"load": way}
                            run.note(row | await measure(run, system))
                    except (StartFailed, LoadFailed) as exc:
                        run.fail(number, peer.name, exc, load=way)
    finally:
        run.bench.site = site


@contextlib.asynccontextmanager
async def redis_beside(bench: Bench) -> AsyncIterator[str]:
    """A Redis beside the load; gives its URL."""
    found = components.find("redis", "real")

    def plan() -> components.Launch:
        launch = launch_redis(found, bench.scratch.path / "redis")
        return replace(launch, command=bench.pins.command(bench.pins.others, list(launch.command)))

    started = await components.start(
        "redis",
        plan,
        env=bench.environment,
        cwd=bench.scratch.path,
        alive=bench.scratch.alive,
    )
    try:
        yield f"redis://{started.launch.address}"
    finally:
        await started.child.stop()


async def _measure(run: Run, system: Running) -> Row:
    """CPU a request (many and few at once), an opened and a left stream, a relayed event."""
    busy, busy_failed = await _reads(run, system, CONNECTIONS)
    alone, alone_failed = await _reads(run, system, ALONE)
    opening, leaving, relaying = Meter(system.pid), Meter(system.pid), Meter(system.pid)
    plan = {"mode": "storm", "url": system.url("/query"), "streams": OPENED}
    plan |= {"rate": QUIET_RATE, "seconds": 2.0}
    marks = {"steady": opening.steady, "end": opening.end}
    marks |= {"leaving": leaving.steady, "left": leaving.end}
    opened = await run.bench.load(plan, 150, **marks)
    relayed = await paced(run, system.url("/query"), RELAYED, run.sizes.seconds, relaying)
    failures = [result["failures"] for result in (opened, relayed)]
    return {
        "cpu_us_per_request": busy,
        "cpu_us_per_request_alone": alone,
        "open_cpu_us": opening.used_s / OPENED * 1e6,
        "leave_cpu_us": leaving.used_s / OPENED * 1e6,
        "cpu_us_per_event": relaying.used_s / max(relayed["events"], 1) * 1e6,
        **trouble(relayed),
        "failed": busy_failed + alone_failed + sum(sum(one.values()) for one in failures),
    }


async def _reads(run: Run, system: Running, connections: int) -> tuple[float, int]:
    meter = Meter(system.pid)
    plan: dict[str, Any] = {"mode": "unary", "url": system.url(run.sizes.get)}
    plan |= {"streams": connections, "seconds": run.sizes.seconds, "settle_s": run.sizes.warm_s}
    limit_s = run.sizes.seconds + 90
    result = await run.bench.load(plan, limit_s, steady=meter.steady, end=meter.end)
    used = meter.used_s / max(result["requests"], 1) * 1e6
    return used, sum(result["failures"].values())
