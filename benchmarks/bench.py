"""The surroundings of a run: stub core, OPA and users; starts peers and loads one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import gobuild, proc
from benchmarks.peers import Peer, Site
from benchmarks.people import make_people
from devstack import components
from devstack.components import Launch, Missing
from devstack.environment import inherited
from devstack.processes import Child, Scratch, StartFailed, start_and_wait
from gateway.adapters.policy_bundle import policy_files

START_LIMIT_S = 60.0
STOP_GRACE_S = 8.0


class LoadFailed(Exception):
    """The load generator failed, or ended before it printed its result."""


class Listener(Child):
    """A program that reports in lines of JSON on its standard output."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reports: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def _keep_line(self, line: bytes) -> None:
        super()._keep_line(line)
        with contextlib.suppress(ValueError):
            report = json.loads(line)
            if isinstance(report, dict):
                self._reports.put_nowait(report)

    async def next(self) -> dict[str, Any]:
        """The next report. Raises ``LoadFailed`` when the program ends without one."""
        report = asyncio.create_task(self._reports.get())
        ended = asyncio.create_task(self.wait())
        try:
            await asyncio.wait({report, ended}, return_when=asyncio.FIRST_COMPLETED)
            if report.done():
                return report.result()
            if not self._reports.empty():
                return self._reports.get_nowait()
        finally:
            report.cancel()
            ended.cancel()
        raise LoadFailed(f"{self.name} ended; its last lines:\n{self.last_output()}")


@dataclass(frozen=True, slots=True)
class Pins:
    """Which CPUs the system under test and everything else may use; ``None``: any."""

    tested: str | None
    others: str | None

    @classmethod
    def choose(cls, wanted: bool) -> Pins:
        """The first CPU to the tested system alone, where there are two and ``taskset``."""
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if not wanted or len(cpus) < 2 or shutil.which("taskset") is None:
            return cls(None, None)
        return cls(str(cpus[0]), ",".join(map(str, cpus[1:])))

    def command(self, cpus: str | None, command: list[str]) -> list[str]:
        return command if cpus is None else ["taskset", "-c", cpus, *command]


@dataclass(frozen=True, slots=True)
class Running:
    """A started system under test; ``pid`` is its first process."""

    peer: Peer
    pid: int
    base_url: str

    def url(self, path: str) -> str:
        return f"{self.base_url}{self.peer.prefix}{path}"


Mark = Callable[[dict[str, Any]], None]


class Bench:
    """``async with Bench.open(…) as bench:``; at the end everything it started is stopped."""

    def __init__(self, scratch: Scratch, pins: Pins) -> None:
        self.scratch = scratch
        self.pins = pins
        self.site: Site
        self.environment = inherited(os.environ)
        self.environment["TMPDIR"] = str(scratch.path)
        self._plans = 0
        self.opa_pid: int | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        *,
        users: int,
        needs_opa: bool,
        pin: bool = True,
        workers: int = 1,
        gateway_settings: Mapping[str, str] | None = None,
        gateway_opa_server: bool = False,
    ) -> AsyncIterator[Bench]:
        """Builds the programs, makes the users, starts the stub core and OPA.

        Raises:
            Missing: Go, or OPA where a peer needs it. StartFailed: something did not start.
        """
        raise_files_limit()
        async with contextlib.AsyncExitStack() as ends:
            scratch = ends.enter_context(Scratch(prefix="kbg-bench-"))
            # Two workers need a CPU each, so the load has to share them.
            bench = cls(scratch, Pins.choose(pin and workers == 1))
            programs = await gobuild.build(scratch.path)
            backends = bench.listener("stub core", [str(programs["stubcore"])])
            ends.push_async_callback(backends.stop)
            await backends.start()
            async with asyncio.timeout(START_LIMIT_S):
                where = await backends.next()
            bench.site = Site(
                folder=scratch.path,
                programs=programs,
                core=f"http://{where['core']}",
                core_grpc=f"grpc://{where['grpc']}",
                s3=f"http://{where['s3']}",
                temporal=where["temporal"],
                opa=None,
                people=await asyncio.to_thread(make_people, scratch.path, users),
                workers=workers,
                gateway_settings=gateway_settings or {},
                gateway_opa_server=gateway_opa_server,
            )
            if needs_opa:
                opa = await bench._start_opa()
                ends.push_async_callback(opa.child.stop)
                bench.site = replace(bench.site, opa=opa.launch.address)
                bench.opa_pid = opa.child.pid
            yield bench

    def listener(self, name: str, command: list[str]) -> Listener:
        pinned = self.pins.command(self.pins.others, command)
        return Listener(
            name, pinned, env=self.environment, cwd=self.scratch.path, alive=self.scratch.alive
        )

    async def _start_opa(self) -> components.Running:
        found = components.find("opa", "real")

        def plan() -> Launch:
            launch = components.launch_opa(found, policy_files())
            return replace(
                launch, command=self.pins.command(self.pins.others, list(launch.command))
            )

        return await components.start(
            "opa", plan, env=self.environment, cwd=self.scratch.path, alive=self.scratch.alive
        )

    # --- the system under test --------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self, peer: Peer) -> AsyncIterator[Running]:
        """Starts ``peer`` alone on its CPU, with its output in a file; stops it at the end.

        Raises:
            Missing: it is not on this machine. StartFailed: with its last lines.
        """
        launch = await asyncio.to_thread(peer.plan, self.site)
        log = self.scratch.path / f"{peer.name}.log"
        # Its output goes to a file: reading it here would cost as much CPU time again.
        shell = ["/bin/sh", "-c", 'exec "$@" >>"$0" 2>&1', str(log), *launch.command]
        child = Child(
            peer.name,
            self.pins.command(self.pins.tested, shell),
            env={**self.environment, **launch.env},
            cwd=self.scratch.path,
            alive=self.scratch.alive,
            grace_s=STOP_GRACE_S,
        )
        try:
            await start_and_wait(child, partial(launch.ready, child), START_LIMIT_S)
        except StartFailed as exc:
            raise StartFailed(f"{exc}\n{_tail(log)}") from exc
        try:
            assert child.pid is not None
            yield Running(peer, child.pid, launch.address)
        finally:
            await child.stop()

    # --- the load ---------------------------------------------------------------------------------

    async def load(self, plan: Mapping[str, Any], limit_s: float, **marks: Mark) -> dict[str, Any]:
        """Runs one load to its end; ``marks`` are called when it reaches ``steady`` and ``end``.

        Raises:
            LoadFailed: it failed, or was not done in ``limit_s``.
        """
        self._plans += 1
        path = self.scratch.path / f"plan-{self._plans}.json"
        whole = {
            "core": self.site.core,
            "tokens": str(self.site.people.tokens_file),
            "sources": os.uname().sysname == "Linux",
            **plan,
        }
        path.write_text(json.dumps(whole), "utf-8")
        load = self.listener("load", [str(self.site.programs["load"]), str(path)])
        try:
            async with asyncio.timeout(limit_s):
                await load.start()
                while True:
                    report = await load.next()
                    if report["at"] == "result":
                        return report
                    if mark := marks.get(report["at"]):
                        mark(report)
        except TimeoutError as exc:
            raise LoadFailed(f"the load was not done in {limit_s:g} s") from exc
        finally:
            await load.stop()

    async def reset_core_stats(self) -> None:
        """Sets the core's counts to zero."""
        import urllib.request

        request = urllib.request.Request(f"{self.site.core}/reset", method="POST")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        await asyncio.to_thread(lambda: opener.open(request, timeout=10).close())


class Meter:
    """CPU seconds of a program between two marks of the load."""

    def __init__(self, pid: int, opa_pid: int | None = None) -> None:
        self._pids = [pid] if opa_pid is None else [pid, opa_pid]
        self._began: list[float] = []
        self.used_s = self.opa_used_s = 0.0

    def steady(self, report: dict[str, Any]) -> None:
        self._began = [proc.cpu_s(pid) for pid in self._pids]

    def end(self, report: dict[str, Any]) -> None:
        used = [proc.cpu_s(p) - began for p, began in zip(self._pids, self._began, strict=True)]
        self.used_s, self.opa_used_s = used[0], sum(used[1:])


FILES_WANTED = 65536


def raise_files_limit() -> None:
    """A relay needs twenty thousand sockets for ten thousand streams."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (FILES_WANTED, hard):
        # Only root may raise the hard limit.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            return


@contextlib.asynccontextmanager
async def alongside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Runs ``work``, which has no end of its own, as a task until the block ends."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _tail(path: Path, lines: int = 6, width: int = 400) -> str:
    with contextlib.suppress(OSError):
        last = path.read_text("utf-8", "replace").splitlines()[-lines:]
        # The end of a log line matters most: it has the exception.
        return "\n".join(line if len(line) <= width else f"…{line[-width:]}" for line in last)
    return ""


def prepared(peers: list[Peer]) -> tuple[list[Peer], dict[str, str], dict[str, str]]:
    """The peers that can run here, their versions, and why the others cannot."""
    ready: list[Peer] = []
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    for peer in peers:
        try:
            versions[peer.name] = peer.prepare()
            if peer.needs_opa:
                components.find("opa", "real")
        except Missing as exc:
            missing[peer.name] = str(exc)
        else:
            ready.append(peer)
    return ready, versions, missing
