"""What is measured, and how each figure comes about. Each scenario gives rows, one a measurement.

Peers run one after another, in turned order each round, each started afresh; between the load's
marks ``steady`` and ``end`` nothing but what is measured happens.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import proc
from benchmarks.bench import Bench, LoadFailed, Meter, Running
from benchmarks.figures import Row, order
from benchmarks.peers import Peer
from devstack.processes import StartFailed

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; the defaults are those of a full run."""

    rounds: int = 3
    seconds: float = 15.0
    warm_s: float = 3.0
    streams: tuple[int, ...] = ()
    rate: float = 50.0
    total: int = 50_000
    connections: int = 32


@dataclass(slots=True)
class Run:
    """One scenario under way. ``direct`` is the same load with nobody between it and the core."""

    bench: Bench
    peers: Sequence[Peer]
    sizes: Sizes
    say: Say
    rows: list[Row] = field(default_factory=list)
    direct: list[Row] = field(default_factory=list)

    async def each(self) -> AsyncIterator[tuple[int, Running]]:
        """Every round of every peer; one that does not start is said and left out."""
        by_name = {peer.name: peer for peer in self.peers}
        for number in range(self.sizes.rounds):
            for name in order(list(by_name), number):
                try:
                    async with self.bench.running(by_name[name]) as system:
                        yield number, system
                except (StartFailed, LoadFailed) as exc:
                    self.say(f"round {number + 1}: {name}: FAILED: {exc}")
                    self.rows.append(
                        {
                            "system": name,
                            "streams": 0,
                            "round": number,
                            "failed": str(exc).splitlines()[0],
                        }
                    )

    def note(self, row: Row) -> None:
        self.rows.append(row)
        shown = "  ".join(
            f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in row.items()
            if name not in ("system", "streams", "round") and value not in ({}, None)
        )
        self.say(f"round {row['round'] + 1}: {row['system']:<16} {row['streams']:>6}  {shown}")


def _base(system: Running, streams: int, number: int) -> Row:
    return {"system": system.peer.name, "streams": streams, "round": number}


def _trouble(result: dict[str, Any]) -> Row:
    """What went wrong in a load, if anything did: a relay that drops is not fast but wrong."""
    found: Row = {}
    if result.get("failures"):
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
    """Paced streams: CPU of the relay for each event, and what it adds to the time it takes."""
    sizes = run.sizes
    base: dict[int, dict[str, float]] = {}
    for streams in sizes.streams:
        core = f"{run.bench.site.core}/v1/query"
        result = await _paced(run, core, streams, sizes.seconds)
        base[streams] = result["delay_ms"]
        run.direct.append(
            {
                "streams": streams,
                "p50_ms": result["delay_ms"]["p50"],
                "p99_ms": result["delay_ms"]["p99"],
            }
        )
    async for number, system in run.each():
        await _warm(run, system)
        for streams in sizes.streams:
            meter = Meter(system.pid)
            result = await _paced(run, system.url("/query"), streams, sizes.seconds, meter)
            delay, direct = result["delay_ms"] or {}, base[streams]
            row = _base(system, streams, number)
            if result["events"]:
                row |= {
                    "cpu_us_per_event": meter.used_s / result["events"] * 1e6,
                    "added_p50_ms": delay["p50"] - direct["p50"],
                    "added_p99_ms": delay["p99"] - direct["p99"],
                    "p50_ms": delay["p50"],
                    "p99_ms": delay["p99"],
                    "cpu_percent": meter.used_s / result["window_s"] * 100,
                    "events": result["events"],
                    "generator_cpu_percent": result["window_generator_cpu_s"]
                    / result["window_s"]
                    * 100,
                }
            run.note(row | _trouble(result))


async def _paced(
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


async def _warm(run: Run, system: Running) -> None:
    """Every path has been taken once, and what is loaded late is loaded."""
    await _paced(run, system.url("/query"), 50, run.sizes.warm_s)
