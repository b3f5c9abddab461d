"""The scenarios: what is measured, and how. Each gives rows, one for each measurement.

Peers run one after another, in another order each round, and each is started again. Between the
load's marks ``steady`` and ``end`` only the measured load runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import proc
from benchmarks.bench import Bench, LoadFailed, Meter, Running
from benchmarks.peers import Peer
from benchmarks.summary import Row, order
from devstack.processes import StartFailed

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Number, length and size of measurements; the defaults are those of a full run."""

    rounds: int = 3
    seconds: float = 15.0
    warm_s: float = 3.0
    streams: tuple[int, ...] = ()
    rate: float = 50.0
    total: int = 50_000
    connections: int = 32
    get: str = "/documents/{id}"
    loads: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    """A run of one scenario. ``direct`` has the same load without a proxy before the core."""

    bench: Bench
    peers: Sequence[Peer]
    sizes: Sizes
    say: Say
    rows: list[Row] = field(default_factory=list)
    direct: list[Row] = field(default_factory=list)

    async def each(self) -> AsyncIterator[tuple[int, Running]]:
        """Every round of every peer; one that does not start is reported and skipped."""
        by_name = {peer.name: peer for peer in self.peers}
        for number in range(self.sizes.rounds):
            for name in order(list(by_name), number):
                try:
                    async with self.bench.running(by_name[name]) as system:
                        yield number, system
                except (StartFailed, LoadFailed) as exc:
                    self.fail(number, name, exc)

    def fail(self, number: int, name: str, exc: Exception, **load: str) -> None:
        """Reports what did not start, or whose load failed; its row has no figures."""
        self.say(f"round {number + 1}: {name}: FAILED: {exc}")
        row: Row = {"system": name, "streams": 0, "round": number, **load}
        self.rows.append({**row, "broken": str(exc).splitlines()[0]})

    def asks_opa(self, peer: Peer) -> bool:
        """Whether it asks an OPA server, whose CPU time is then told beside its own."""
        return peer.needs_opa or (peer.name == "gateway" and self.bench.site.gateway_opa_server)

    def note(self, row: Row) -> None:
        self.rows.append(row)
        shown = "  ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in row.items()
            if name not in ("system", "streams", "round") and value not in ({}, None)
        )
        self.say(f"round {row['round'] + 1}: {row['system']:<16} {row['streams']:>6}  {shown}")


def base_row(system: Running, streams: int, number: int) -> Row:
    return {"system": system.peer.name, "streams": streams, "round": number}


def trouble(result: dict[str, Any]) -> Row:
    """The failures of a load: a relay that drops events must not look fast."""
    found: Row = {"failed": sum(result["failures"].values())}
    if found["failed"]:
        found["failures"] = result["failures"]
        found["failure_examples"] = result["failure_examples"]
    if result.get("late"):
        found["late"] = result["late"]
    due = result.get("events_due")
    if due and abs(result["events"] / due - 1) > 0.03:
        found["events_of_due"] = round(result["events"] / due, 3)
    return found


# --- relay ----------------------------------------------------------------------------------------


async def relay(run: Run) -> None:
    """Paced streams: the relay's CPU time for each event, and the latency it adds."""
    base: dict[tuple[int, int], dict[str, float]] = {}
    async for number, system in run.each():
        if (number, run.sizes.streams[0]) not in base:
            await _measure_direct(run, number, base)
        await warm(run, system)
        for streams in run.sizes.streams:
            meter = Meter(system.pid)
            result = await paced(run, system.url("/query"), streams, run.sizes.seconds, meter)
            figures = _relay_figures(result, meter, base[number, streams])
            run.note(base_row(system, streams, number) | figures | trouble(result))


async def _measure_direct(
    run: Run, number: int, base: dict[tuple[int, int], dict[str, float]]
) -> None:
    """The same load without a proxy; once a round, while the first peer is idle."""
    for streams in run.sizes.streams:
        core = f"{run.bench.site.core}/v1/query"
        delay = (await paced(run, core, streams, run.sizes.seconds))["delay_ms"]
        base[number, streams] = delay
        run.direct.append(
            {"streams": streams, "round": number, "p50_ms": delay["p50"], "p99_ms": delay["p99"]}
        )


def _relay_figures(result: dict[str, Any], meter: Meter, direct: dict[str, float]) -> Row:
    if not result["events"]:
        return {}
    delay, window_s = result["delay_ms"], result["window_s"]
    return {
        "cpu_us_per_event": meter.used_s / result["events"] * 1e6,
        "added_p50_ms": delay["p50"] - direct["p50"],
        "added_p99_ms": delay["p99"] - direct["p99"],
        "p50_ms": delay["p50"],
        "p99_ms": delay["p99"],
        "cpu_percent": meter.used_s / window_s * 100,
        "events": result["events"],
        "generator_cpu_percent": result["window_generator_cpu_s"] / window_s * 100,
    }


async def paced(
    run: Run, url: str, streams: int, seconds: float, meter: Meter | None = None, **more: Any
) -> dict[str, Any]:
    plan = {
        "mode": "streams",
        "url": url,
        "streams": streams,
        "rate": run.sizes.rate,
        "seconds": seconds,
        "settle_s": 1.0,
        "open_per_s": 300,
        **more,
    }
    marks = {} if meter is None else {"steady": meter.steady, "end": meter.end}
    return await run.bench.load(plan, seconds + streams / plan["open_per_s"] + 150, **marks)


async def warm(run: Run, system: Running, **more: Any) -> None:
    """Uses every code path once, so that modules imported late are imported."""
    url = more.pop("url", system.url("/query"))
    await paced(run, url, 50, run.sizes.warm_s, **more)


# --- memory ---------------------------------------------------------------------------------------

SETTLE_S = 3.0
QUIET_RATE = 0.5  # Events a second: streams are active, and the relay is not busy.


async def memory(run: Run) -> None:
    """Many quiet streams: the memory of each open one, and what remains when they are closed.

    Every size has a process of its own, so that memory left by an earlier size does not count.
    """
    for streams in run.sizes.streams:
        async for number, system in run.each():
            await warm(run, system)
            await asyncio.sleep(SETTLE_S)
            rest = proc.memory(system.pid)
            held: list[proc.Memory] = []
            marks = {"end": lambda said, to=held, pid=system.pid: to.append(proc.memory(pid))}
            plan = {
                "mode": "streams",
                "url": system.url("/query"),
                "streams": streams,
                "rate": QUIET_RATE,
                "seconds": run.sizes.seconds,
                "settle_s": SETTLE_S,
                "open_per_s": 400,
            }
            limit_s = run.sizes.seconds + streams / 400 + 150
            result = await run.bench.load(plan, limit_s, **marks)
            await asyncio.sleep(SETTLE_S)
            kept = proc.memory(system.pid)
            failed = sum(result["failures"].values())
            opened = max(streams - failed, 1)
            run.note(
                base_row(system, streams, number)
                | {
                    "pss_kib_per_stream": (held[0].pss_kib - rest.pss_kib) / opened,
                    "rss_kib_per_stream": (held[0].rss_kib - rest.rss_kib) / opened,
                    "rest_kib": rest.rss_kib,
                    "rest_pss_kib": rest.pss_kib,
                    "kept_kib": kept.rss_kib - rest.rss_kib,
                }
                | trouble(result | {"events_due": None})
            )


# --- unary ----------------------------------------------------------------------------------------


async def unary(run: Run) -> None:
    """Small GETs on a few connections that stay open, each with its own user."""
    streams = run.sizes.connections
    async for number, system in run.each():
        asks_opa = run.asks_opa(system.peer)
        meter = Meter(system.pid, run.bench.opa_pid if asks_opa else None)
        plan = {
            "mode": "unary",
            "url": system.url(run.sizes.get),
            "streams": streams,
            "seconds": run.sizes.seconds,
            "settle_s": run.sizes.warm_s,
        }
        result = await run.bench.load(
            plan, run.sizes.seconds + 90, steady=meter.steady, end=meter.end
        )
        row = base_row(system, streams, number)
        if requests := result["requests"]:
            row |= {
                "requests_per_s": requests / result["window_s"],
                "cpu_us_per_request": meter.used_s / requests * 1e6,
                "p50_ms": result["delay_ms"]["p50"],
                "p99_ms": result["delay_ms"]["p99"],
                "cpu_percent": meter.used_s / result["window_s"] * 100,
                "generator_cpu_percent": result["window_generator_cpu_s"]
                / result["window_s"]
                * 100,
            }
            if asks_opa:
                row["opa_cpu_us_per_request"] = meter.opa_used_s / requests * 1e6
        run.note(row | trouble(result))


# --- storm ----------------------------------------------------------------------------------------


async def storm(run: Run) -> None:
    """All streams are opened at once, and later left at once.

    How many fail, when the last one gets its first byte, and what each costs, opened and left.
    """
    for streams in run.sizes.streams:
        async for number, system in run.each():
            await warm(run, system)
            opa_pid = run.bench.opa_pid if run.asks_opa(system.peer) else None
            opening, leaving = Meter(system.pid, opa_pid), Meter(system.pid)
            plan = {
                "mode": "storm",
                "url": system.url("/query"),
                "streams": streams,
                "rate": QUIET_RATE,
                "seconds": run.sizes.seconds,
            }
            result = await run.bench.load(
                plan,
                run.sizes.seconds + 150,
                steady=opening.steady,
                end=opening.end,
                leaving=leaving.steady,
                left=leaving.end,
            )
            first = result["first_byte_ms"] or {}
            figures = {f"first_byte_{name}_ms": first.get(name) for name in ("p50", "p99", "max")}
            figures |= {
                "all_first_events_s": result["all_first_events_s"],
                "open_cpu_us": opening.used_s / streams * 1e6,
                "leave_cpu_us": leaving.used_s / streams * 1e6,
            }
            if opa_pid is not None:
                figures["opa_cpu_us"] = opening.opa_used_s / streams * 1e6
            run.note(base_row(system, streams, number) | figures | trouble(result))


# --- churn ----------------------------------------------------------------------------------------

# Long enough that most clients leave during their events, not before the core was asked.
CHURN_LIFE_MS = 1500.0
CHURN_AT_A_TIME = 200
# Longer than idle connections to the core are kept.
CHURN_SETTLE_S = 8.0


async def churn(run: Run) -> None:
    """Clients that leave at random moments: what remains, and how soon the core notices.

    A fifth as many run before, so that memory a process allocates only once is not counted.
    """
    total = run.sizes.total
    async for number, system in run.each():
        await _churn(run, system, max(total // 5, 1), Meter(system.pid))
        await asyncio.sleep(CHURN_SETTLE_S)
        before, files = proc.memory(system.pid), proc.open_files(system.pid)
        meter = Meter(system.pid)
        result = await _churn(run, system, total, meter)
        await asyncio.sleep(CHURN_SETTLE_S)
        after = proc.memory(system.pid)
        seen = result.get("leave_seen_ms") or {}
        run.note(
            base_row(system, total, number)
            | {
                "headed": result["headed"],
                "core_opened": result.get("core_opened"),
                "core_open_after": result["core_open_after"],
                "core_unseen": result.get("core_unseen"),
                "core_later_than_1s": result.get("core_later_than_1s"),
                "leave_seen_p50_ms": seen.get("p50"),
                "leave_seen_p99_ms": seen.get("p99"),
                "leave_seen_max_ms": seen.get("max"),
                "kept_kib": after.rss_kib - before.rss_kib,
                "kept_files": proc.open_files(system.pid) - files,
                "cpu_us_per_stream": meter.used_s / total * 1e6,
                "seconds": result["seconds"],
            }
            | trouble(result)
        )


async def _churn(run: Run, system: Running, total: int, meter: Meter) -> dict[str, Any]:
    await run.bench.reset_core_stats()
    plan = {
        "mode": "churn",
        "url": system.url("/query"),
        "streams": CHURN_AT_A_TIME,
        "total": total,
        "rate": 20.0,
        "life_ms": CHURN_LIFE_MS,
        "seed": 1,
    }
    return await run.bench.load(plan, total / 100 + 120, steady=meter.steady, end=meter.end)
