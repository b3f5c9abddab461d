"""``relay --shapes``: what a relayed event costs in every shape that a core may give it.

A relay that knows one way of writing an event is fast in a benchmark that writes it so. Here the
stub core writes the same events in every legal way (``go/events/shape.go``), in pieces, together,
without chunks, and with more or less in them, more or less often.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from benchmarks.bench import LoadFailed, Meter, Running
from benchmarks.scenarios import Run, base_row, paced, trouble, warm
from benchmarks.summary import FIRST_LOAD, Row, order
from devstack.processes import StartFailed


@dataclass(frozen=True, slots=True)
class Load:
    """How the core writes: its shape, the bytes of an event's data (0: 99), events a second.

    ``streams`` is how many streams it is measured with, 0 where the scenario says that.
    """

    name: str
    shape: str = FIRST_LOAD
    payload: int = 0
    rate: float = 50.0
    streams: int = 0


# The names are those of the stub core's shapes.
SHAPES = (
    *(Load(FIRST_LOAD), Load("id", "id"), Load("crlf", "crlf"), Load("cr", "cr")),
    *(Load("data", "data"), Load("no-blank", "no-blank"), Load("data-first", "data-first")),
    *(Load("fields", "fields"), Load("lines", "lines"), Load("comments", "comments")),
    *(Load("length", "length"), Load("close", "close"), Load("two-writes", "two-writes")),
    *(Load("two-chunks", "two-chunks"), Load("crlf-chunks", "crlf-chunks")),
    *(
        Load("eight-reads", "eight-reads", rate=200.0),
        Load("eight-chunk", "eight-chunk", rate=200.0),
    ),
)
# With an event a second, more streams: the CPU time of a few events is too short to be read.
PAIRS = tuple(
    Load(f"{payload}B-{rate}/s", payload=payload, rate=rate, streams=1000 if rate == 1 else 100)
    for payload in (20, 120, 1024, 4096)
    for rate in (1, 50, 200)
)


def chosen(run: Run) -> list[tuple[int, Load]]:
    """Every shape at every number of streams, then every pair of size and pace."""
    all_loads = [(streams, load) for streams in run.sizes.streams for load in SHAPES]
    all_loads += [(load.streams, load) for load in PAIRS]
    wanted = run.sizes.loads
    return [pair for pair in all_loads if not wanted or pair[1].name in wanted]


async def shapes(run: Run) -> None:
    """All systems under one load after another: a row's systems are measured side by side.

    They run all the time, and those that wait cost nothing. What disturbs the machine for a minute
    then disturbs all systems under the same load, and their ratio little.
    """
    for number in range(run.sizes.rounds):
        async with contextlib.AsyncExitStack() as ends:
            systems = await started(run, number, ends)
            for streams, load in chosen(run):
                for name in order(list(systems), number):
                    run.note(await measure(run, systems[name], number, load, streams))


async def started(run: Run, number: int, ends: contextlib.AsyncExitStack) -> dict[str, Running]:
    """Every system that starts, by its name; ``ends`` stops them."""
    systems: dict[str, Running] = {}
    for peer in run.peers:
        try:
            system = await ends.enter_async_context(run.bench.running(peer))
            await warm(run, system)
        except (StartFailed, LoadFailed) as exc:
            run.fail(number, peer.name, exc)
        else:
            systems[peer.name] = system
    return systems


async def measure(run: Run, system: Running, number: int, load: Load, streams: int) -> Row:
    """One measurement of the CPU time that an event takes."""
    meter = Meter(system.pid)
    more = {"shape": load.shape, "payload": load.payload, "rate": load.rate}
    url, seconds = system.url("/query"), run.sizes.seconds
    result = await paced(run, url, streams, seconds, meter, **more)
    row = base_row(system, streams, number) | {"load": load.name}
    if events := result["events"]:
        row |= {
            "cpu_us_per_event": meter.used_s / events * 1e6,
            "cpu_percent": meter.used_s / result["window_s"] * 100,
            "p50_ms": result["delay_ms"]["p50"],
            "p99_ms": result["delay_ms"]["p99"],
            "events": events,
        }
    return row | trouble(result)
