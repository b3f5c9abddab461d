"""The whole system on one machine: OPA, S3, Temporal, the core, its worker and the gateway.

Each is a process of its own, as in production, under a watchdog that ends it when we end. Tests
stop, freeze and restart single parts; the demo shows them as a table. Everything listens on
127.0.0.1.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from devstack import buckets, components
from devstack.components import Choice, Found, Launch, Missing, Running, free_port
from devstack.environment import Secrets, core_env, gateway_env, inherited
from devstack.parts import ALL_PARTS, DOES, PARTS, START_LIMIT_S, Part, PartInfo
from devstack.processes import Child, Scratch, run_to_end
from devstack.redis_server import launch_redis
from gateway import __version__
from gateway.adapters.policy_bundle import policy_files

SETUP_LIMIT_S = 45.0
# The core's address for a command that needs complete settings but never calls the core.
NOWHERE = "http://127.0.0.1:1"
READY = b'"status":"ok"'


class Stack:
    """``async with Stack() as stack:`` starts everything; at the end everything is stopped.

    Args:
        choices: for ``opa`` and ``s3``: ``"auto"`` (real where found), ``"real"``, ``"embedded"``.
        require_real: ``"real"`` for those that ``choices`` leaves out.
        parts: which to start; ``("opa", "s3", "temporal")`` gives the components alone, and
            ``ALL_PARTS`` counts limits in Redis.
        gateway_workers: worker processes of the gateway.
        gateway_settings: settings added to the gateway's (``GATEWAY_USERS_FILE``, limits, …).
        core_settings: the same for the core and its worker.
        data_dir: where state is kept; a temporary folder, removed at the end, when ``None``.
        policy_dir: Rego for OPA and the gateway instead of what comes with the gateway.
        announce: called with a line when a part is being started and when it is ready.

    Raises (on entering, after stopping what was started):
        Missing: components that are not on this machine, all in one message.
        StartFailed: a part did not get ready; the message ends with its last lines.
    """

    def __init__(
        self,
        *,
        choices: Mapping[components.Name, Choice] | None = None,
        require_real: bool = False,
        parts: Collection[Part] = PARTS,
        gateway_workers: int = 1,
        gateway_settings: Mapping[str, str] | None = None,
        core_settings: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
        policy_dir: Path | None = None,
        announce: Callable[[str], None] = lambda line: None,
    ) -> None:
        default: Choice = "real" if require_real else "auto"
        self._choices: dict[components.Name, Choice] = dict.fromkeys(components.NAMES, default)
        self._choices.update(choices or {})
        self._parts = parts
        self._workers = gateway_workers
        self._gateway_settings = dict(gateway_settings or {})
        self._core_settings = dict(core_settings or {})
        self._data_dir = data_dir
        self._policy_dir = policy_dir
        self._announce = announce
        self._inherited = inherited(os.environ)
        self._scratch: Scratch | None = None
        self._found: dict[components.Name, Found] = {}
        self._running: dict[Part, Running] = {}
        # Known before it runs: the bucket is told at which address the console is.
        self._gateway_port = free_port()
        self.secrets = Secrets()

    # --- Life ------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._find()
        self._scratch = await asyncio.to_thread(Scratch)
        # Temporary files that a killed part leaves are removed with our folder.
        self._inherited["TMPDIR"] = str(self._scratch.path)
        try:
            await _together(self._start_component(name) for name in self._found)
            await self._start_ours()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        """Stops in the reverse order, so that no part loses one it depends on before it has ended.

        If we are cancelled meanwhile, the rest is stopped all the same: the watchdogs see our
        descriptors close.
        """
        try:
            await self._stop_gateway_then_others()
        finally:
            scratch, self._scratch = self._scratch, None
            if scratch is not None:
                await asyncio.to_thread(scratch.close)

    async def _stop_gateway_then_others(self) -> None:
        waves: tuple[tuple[Part, ...], ...] = (
            ("gateway",),
            ("core", "worker"),
            ("opa", "s3", "temporal", "redis"),
        )
        for wave in waves:
            running = [self._running[part] for part in wave if part in self._running]
            await asyncio.gather(*(one.child.stop() for one in running))

    async def _find(self) -> None:
        names = [name for name in components.NAMES if name in self._parts]
        results = await asyncio.gather(
            *(asyncio.to_thread(components.find, name, self._choices[name]) for name in names),
            return_exceptions=True,
        )
        missing = [str(result) for result in results if isinstance(result, Missing)]
        if missing:
            raise Missing("\n".join(missing))
        for name, result in zip(names, results, strict=True):
            if isinstance(result, BaseException):
                raise result
            self._found[name] = result

    # --- Starting --------------------------------------------------------------------------------

    async def _start_component(self, name: components.Name) -> None:
        found = self._found[name]
        if name in ("opa", "redis") and not found.real:
            does = found.note if name == "redis" else DOES[name]
            self._announce(f"{name}: {does} ({found.product} {found.version}, embedded)")
            return
        await self._start(name, f"{found.product} {found.version}", self._plan_component(found))
        if name == "s3":
            await self._set_up_buckets(found)

    async def _set_up_buckets(self, found: Found) -> None:
        """As in production: runs ``gateway setup`` with the gateway's own settings."""
        port = self._gateway_port
        settings = self._settings(port=port, admin_port=0, core=NOWHERE, temporal="127.0.0.1:1")
        setup = Child(
            "gateway setup",
            [sys.executable, "-m", "gateway", "setup"],
            env={**self._inherited, **settings},
            cwd=self._need_scratch().path,
            alive=self._need_scratch().alive,
        )
        await run_to_end(setup, SETUP_LIMIT_S)
        await asyncio.to_thread(buckets.admit_core, found, self.address("s3"), self.secrets)

    def _plan_component(self, found: Found) -> Callable[[], Launch]:
        match found.name:
            case "opa":
                return lambda: components.launch_opa(found, self.policy_dir)
            case "s3":
                account = self.secrets.gateway_store
                return lambda: components.launch_s3(found, account, self.data_dir / "s3")
            case "temporal":
                return lambda: components.launch_temporal(found, self.data_dir / "temporal")
            case "redis":
                return lambda: launch_redis(found, self.data_dir / "redis")

    async def _start_ours(self) -> None:
        core: dict[Part, Callable[[], Launch]] = {
            "core": self._plan_core,
            "worker": self._plan_worker,
        }
        await _together(
            self._start(part, f"devstack.core {__version__}", plan)
            for part, plan in core.items()
            if part in self._parts
        )
        if "gateway" in self._parts:
            await self._start("gateway", f"gateway {__version__}", self._plan_gateway)

    def _plan_core(self) -> Launch:
        port = free_port()
        return Launch(
            [sys.executable, "-m", "devstack.core", "serve"],
            f"http://127.0.0.1:{port}",
            components.printed_ready,
            self.env_for_core(port),
        )

    def _plan_worker(self) -> Launch:
        command = [sys.executable, "-m", "devstack.core", "worker"]
        return Launch(command, "", components.printed_ready, self.env_for_core(0))

    def _plan_gateway(self) -> Launch:
        port, admin_port = self._gateway_port, free_port()
        # Should somebody else have taken it, the next attempt is at another one.
        self._gateway_port = free_port()
        return Launch(
            [sys.executable, "-m", "gateway", "serve"],
            f"http://127.0.0.1:{port}",
            _gateway_ready(port, admin_port),
            self.env_for_gateway(port, admin_port),
        )

    async def _start(self, part: Part, product: str, plan: Callable[[], Launch]) -> None:
        self._announce(f"{part}: starting {product} ({DOES[part]})")
        began = time.monotonic()
        scratch = self._need_scratch()
        self._running[part] = running = await components.start(
            part,
            plan,
            env=self._inherited,
            cwd=scratch.path,
            alive=scratch.alive,
            timeout_s=START_LIMIT_S[part],
        )
        where = f" at {running.launch.address}" if running.launch.address else ""
        self._announce(f"{part}: ready{where} after {time.monotonic() - began:.1f} s")

    # --- What it is ------------------------------------------------------------------------------

    def _need_scratch(self) -> Scratch:
        if self._scratch is None:
            raise RuntimeError("the stack is not running")
        return self._scratch

    @property
    def data_dir(self) -> Path:
        return self._data_dir or self._need_scratch().path

    @property
    def policy_dir(self) -> Path:
        return self._policy_dir or policy_files()

    @property
    def base_url(self) -> str:
        """The gateway's, without a slash at the end."""
        return self.address("gateway")

    @property
    def admin_url(self) -> str:
        """The gateway's admin listener: ``/metrics``, ``/readyz`` with reasons."""
        port = self._running["gateway"].launch.env["GATEWAY_ADMIN_LISTEN_PORT"]
        return f"http://127.0.0.1:{port}"

    def address(self, part: Part) -> str:
        """Where a running part is: a URL, or host:port for Temporal."""
        return self._running[part].launch.address

    def found(self, name: components.Name) -> Found:
        return self._found[name]

    def child(self, part: Part) -> Child:
        """Its process: ``pid``, ``output``."""
        return self._running[part].child

    def env_for_core(self, port: int) -> dict[str, str]:
        env = core_env(
            self.secrets,
            port=port,
            data_dir=self.data_dir / "core",
            s3=self.address("s3"),
            temporal=self.address("temporal"),
        )
        return env | self._core_settings

    def env_for_gateway(self, port: int, admin_port: int) -> dict[str, str]:
        """The gateway's settings for these ports; tests start further gateways with them."""
        core, temporal = self.address("core"), self.address("temporal")
        return self._settings(port=port, admin_port=admin_port, core=core, temporal=temporal)

    def _settings(self, *, port: int, admin_port: int, core: str, temporal: str) -> dict[str, str]:
        env = gateway_env(
            self.secrets,
            port=port,
            admin_port=admin_port,
            workers=self._workers,
            core=core,
            s3=self.address("s3"),
            temporal=temporal,
            opa=self.address("opa") if "opa" in self._running else None,
            redis=self.address("redis") if "redis" in self._running else None,
            policy_dir=self._policy_dir,
        )
        return env | self._gateway_settings

    def table(self) -> list[PartInfo]:
        """What runs as which part, in the order of starting."""
        return [self._info(part) for part in ALL_PARTS if part in self._parts]

    def _info(self, part: Part) -> PartInfo:
        running = self._running.get(part)
        address = (running.launch.address or None) if running else None
        for found in self._found.values():
            if found.name == part:
                kind: Literal["real", "embedded"] = "real" if found.real else "embedded"
                note = found.note or DOES[part]
                return PartInfo(part, found.product, kind, found.version, address, note)
        product = "gateway" if part == "gateway" else "devstack.core"
        return PartInfo(part, product, "real", __version__, address, DOES[part])

    async def wait_for_loss(self) -> Part:
        """Waits until a part ends by itself; gives its name."""
        waits = {
            asyncio.create_task(running.child.wait(), name=f"{part} ends"): part
            for part, running in self._running.items()
        }
        try:
            ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        return waits[ended.pop()]

    # --- What tests do to it ---------------------------------------------------------------------

    async def stop(self, part: Part) -> None:
        """Ends one part (SIGTERM, then SIGKILL); ``start`` brings it back."""
        await self._running[part].child.stop()

    async def start(self, part: Part) -> None:
        """Starts a stopped part again, on the same ports, with the same state."""
        await self._running[part].start_again()

    async def restart(self, part: Part) -> None:
        await self.stop(part)
        await self.start(part)

    def freeze(self, part: Part) -> None:
        """SIGSTOP: its sockets stay open and nobody answers."""
        self._running[part].child.freeze()

    def thaw(self, part: Part) -> None:
        self._running[part].child.thaw()

    def kill(self, part: Part) -> None:
        """SIGKILL to the part and all its processes."""
        self._running[part].child.kill()


def _gateway_ready(port: int, admin_port: int) -> Callable[[Child], Awaitable[bool]]:
    """Ready when its ``/readyz`` says so, which includes its dependencies.

    The admin listener is asked first: its requests are not in the access log, so that the last
    lines of a gateway that never gets ready show the reason and not our polling.
    """
    admin = components.answering(admin_port, "/readyz", READY)
    public = components.answering(port, "/readyz", READY)

    async def ready(child: Child) -> bool:
        listens = child.env["GATEWAY_ADMIN_LISTEN_PORT"] != "0"
        return (not listens or await admin(child)) and await public(child)

    return ready


async def _together(jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs all at once; the first failure cancels the rest and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(job)
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
