"""``relay --cores``: what a relayed event of real servers costs, and whether its bytes arrive.

Beside the stub core, which is written in Go, the same answers come from what people write cores
with in Python (``core_files``). Each system is measured in front of each core.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import install
from benchmarks.bench import START_LIMIT_S, LoadFailed
from benchmarks.scenarios import Run, warm
from benchmarks.shapes import Load, measure
from benchmarks.summary import FIRST_LOAD, order
from devstack.components import Missing, answering, free_port
from devstack.processes import Child, StartFailed, start_and_wait

FILES = Path(__file__).with_name("core_files")
# A Python core has a few hundred microseconds for an event, and the load runs beside it.
RATE = 10.0
PACKAGES = ("sse-starlette", "starlette", "fastapi", "uvicorn", "aiohttp", "sanic")


@dataclass(frozen=True, slots=True)
class Core:
    """``command`` gives what starts it on a port; ``shape``: which of the stub core's it writes."""

    name: str
    command: Callable[[str, int], Sequence[str]]
    shape: str = FIRST_LOAD


def _uvicorn(module: str, python: str, port: int) -> Sequence[str]:
    where = ("--host", "127.0.0.1", "--port", str(port), "--backlog", "4096")
    quiet = ("--log-level", "warning", "--no-access-log")
    return (python, "-m", "uvicorn", f"{module}:app", "--app-dir", str(FILES), *where, *quiet)


def _script(name: str, python: str, port: int) -> Sequence[str]:
    return (python, str(FILES / name), str(port))


CORES = (
    Core("uvicorn + sse-starlette", partial(_uvicorn, "sse_starlette_core"), "crlf"),
    Core("uvicorn + FastAPI", partial(_uvicorn, "fastapi_core")),
    Core("aiohttp", partial(_script, "aiohttp_core.py")),
    Core("Sanic", partial(_script, "sanic_core.py")),
)
STUB = "Go"


def versions() -> str:
    """What the cores are made of. Raises ``Missing`` where it cannot be installed."""
    return install.venv("cores").versions(*PACKAGES)


async def cores(run: Run) -> None:
    """Every system before every core, the stub core first."""
    stub = run.bench.site.core
    for number in range(run.sizes.rounds):
        await _before(run, number, STUB, FIRST_LOAD)
        for core in CORES:
            try:
                async with _running(run, core) as address:
                    run.bench.site = replace(run.bench.site, core=address)
                    await _before(run, number, core.name, core.shape)
            except (Missing, StartFailed) as exc:
                run.say(f"round {number + 1}: {core.name}: FAILED: {exc}")
            finally:
                run.bench.site = replace(run.bench.site, core=stub)


async def _before(run: Run, number: int, core: str, shape: str) -> None:
    """Every system before the core that runs now."""
    by_name = {peer.name: peer for peer in run.peers}
    for name in order(list(by_name), number):
        try:
            async with run.bench.running(by_name[name]) as system:
                await warm(run, system, shape=shape, rate=RATE)
                for streams in run.sizes.streams:
                    load = Load(core, shape, rate=RATE)
                    run.note(await measure(run, system, number, load, streams))
        except (StartFailed, LoadFailed) as exc:
            run.fail(number, name, exc, load=core)


@contextlib.asynccontextmanager
async def _running(run: Run, core: Core) -> AsyncIterator[str]:
    """Starts a core beside the load; gives its address."""
    python = str((await asyncio.to_thread(install.venv, "cores")).program("python"))
    bench, port = run.bench, free_port()
    command = bench.pins.command(bench.pins.others, list(core.command(python, port)))
    child = Child(
        core.name,
        command,
        env={**bench.environment, "PYTHONPATH": str(FILES)},
        cwd=bench.scratch.path,
        alive=bench.scratch.alive,
    )
    try:
        ready = answering(port, "/healthz", b"ok")
        await start_and_wait(child, lambda: ready(child), START_LIMIT_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        await child.stop()
