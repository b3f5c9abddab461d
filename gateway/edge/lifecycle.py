"""A worker's life: build what is bound to the loop, watch, serve, drain, close.

Sanic calls these listeners in each worker process. Everything that belongs to an event loop (the
clients, the background watches) is made in ``before_server_start`` and nowhere earlier, because
the application object is built before the worker has a loop.

A drain has two stages. In its *grace* the worker only announces that it leaves: it is not ready,
and every answer ends its connection, but everything is served, because load balancers still send
requests. Then it *ends*: it accepts no more, refuses new streams, closes idle connections, and
waits for requests under way until the drain limit, which counts from the signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog
from sanic import Sanic

from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.http.routes import check_routes
from gateway.edge.observe import admin_listener
from gateway.edge.observe.limits_desk import LimitsDesk
from gateway.edge.tasks import Tasks
from gateway.edge.wire.connections import Connections
from gateway.edge.wire.server_tls import ServerTls
from gateway.errors import Draining
from gateway.flows.health import Health
from gateway.flows.leases import Leases
from gateway.flows.recheck import Recheck
from gateway.flows.revocations import Revocations
from gateway.settings import Settings
from gateway.telemetry.worker_metrics import WorkerMetrics

log = structlog.get_logger("gateway.lifecycle")

RELOAD_INTERVAL_S = 1.0
POLL_S = 0.05
# How long the last events of streams that are ended may take to be sent.
LAST_EVENTS_S = 1.0

StopAccepting = Callable[[], Awaitable[None]]


class Beside(Protocol):
    """A listener of another protocol, beside that of HTTP; it does its own accepting."""

    @property
    def under_way(self) -> int:
        """How many calls were not answered yet."""

    async def start(self) -> None: ...

    async def watch(self) -> None: ...

    async def leave(self) -> None:
        """Tells clients that the worker is about to end, while all is served."""

    async def stop_accepting(self, limit_s: float) -> None:
        """Takes no more connections; what is under way goes on for ``limit_s``."""

    async def end(self) -> None: ...


class Running(Protocol):
    """What one worker runs on; ``gateway.wiring.services.Services`` is the real one."""

    @property
    def health(self) -> Health: ...

    @property
    def recheck(self) -> Recheck: ...

    @property
    def revocations(self) -> Revocations: ...

    @property
    def leases(self) -> Leases: ...

    async def know_revocations(self) -> None: ...

    def reload_if_changed(self) -> None: ...

    async def reload(self, settings: Settings) -> None: ...

    async def aclose(self) -> None: ...


class Lifecycle:
    """Registers itself on ``app``; ``attach`` receives the services once they exist.

    ``grace_s`` and ``drain_limit_s`` both count from the start of the drain; ``let_go_s`` is how
    long clients may take their last answers afterwards. ``desk`` gives what answers operators about
    limits, ``beside`` the listener of another protocol, where there is one, both once the services
    are attached.
    """

    def __init__(
        self,
        app: Sanic[Any, Any],
        *,
        build: Callable[[Tasks], Awaitable[Running]],
        attach: Callable[[Running], None],
        connections: Connections,
        streams: OpenStreams,
        worker_metrics: WorkerMetrics,
        tls: ServerTls | None = None,
        desk: Callable[[], LimitsDesk | None] = lambda: None,
        beside: Callable[[], Beside | None] = lambda: None,
        admin_address: tuple[str, int] | None,
        grace_s: float,
        drain_limit_s: float,
        let_go_s: float,
    ) -> None:
        self._build = build
        self._attach = attach
        self._connections = connections
        self._streams = streams
        self._worker_metrics = worker_metrics
        self._tls = tls
        self._admin_address = admin_address
        self._desk = desk
        self._beside = beside
        self._grace_s = grace_s
        self._drain_limit_s = drain_limit_s
        self._let_go_s = let_go_s
        self._services: Running | None = None
        self._admin: asyncio.Server | None = None
        self._cut_short = asyncio.Event()
        self.ending = False
        self.tasks = Tasks()
        app.register_listener(self._before_start, "before_server_start")
        app.register_listener(self._after_start, "after_server_start")
        app.register_listener(self._before_stop, "before_server_stop")
        app.register_listener(self._after_stop, "after_server_stop")

    @property
    def draining(self) -> bool:
        """Whether a drain has begun: each answer then ends its connection."""
        return self._services is not None and self._services.health.draining

    @property
    def calls_beside(self) -> int:
        """How many calls the listener beside that of HTTP has not answered yet."""
        beside = self._beside()
        return 0 if beside is None else beside.under_way

    @property
    def status(self) -> str:
        return self._running.health.status

    @property
    def _running(self) -> Running:
        assert self._services is not None, "the server has not started"
        return self._services

    async def reload(self, settings: Settings) -> None:
        await self._running.reload(settings)

    async def _before_start(self, app: Sanic[Any, Any]) -> None:
        check_routes(app)
        self._services = await self._build(self.tasks)
        self._attach(self._services)
        # Before it is ready, a worker knows what was revoked while it was not there.
        await asyncio.gather(self._services.health.check_all(), self._services.know_revocations())
        self.tasks.spawn(self._services.revocations.run(), "revocations")
        self.tasks.spawn(self._services.health.run(), "health")
        self.tasks.spawn(self._services.recheck.run(), "recheck streams")
        self.tasks.spawn(self._services.leases.run(), "renew leases")
        self.tasks.spawn(self._watch_users(), "reload users")
        if self._tls is not None:
            # The certificate was read before the fork, which for a replaced worker is long ago.
            self._tls.reload_if_changed()
            self.tasks.spawn(self._tls.watch(), "reload certificates")
        self.tasks.spawn(self._worker_metrics.run(), "sample metrics")
        if self._admin_address is not None:
            self._admin = await admin_listener.listen(
                *self._admin_address,
                self._services.health,
                self._worker_metrics.page,
                self._desk(),
            )

    async def _after_start(self, _app: Sanic[Any, Any]) -> None:
        self._running.health.starting = False
        if (beside := self._beside()) is not None:
            await beside.start()
            self.tasks.spawn(beside.watch(), "listen beside")
        # What start-up made lives as long as the worker: some hundred thousand objects that each
        # full collection would visit, stopping all streams for tens of milliseconds.
        gc.collect()
        gc.freeze()

    # --- draining ------------------------------------------------------------------------------

    def cut_short(self) -> None:
        """Ends the grace and the wait for requests; open streams still get their last event."""
        self._cut_short.set()

    async def drain(self, stop_accepting: StopAccepting | None = None) -> None:
        """Returns when no request is under way any more, at the drain limit or a little later."""
        if self.draining:
            return
        began = asyncio.get_running_loop().time()
        self._running.health.draining = True
        log.info("draining", connections=len(self._connections), streams=len(self._streams))
        if (beside := self._beside()) is not None:
            await beside.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(began + self._grace_s):
                await self._cut_short.wait()
        self.ending = True
        if stop_accepting is not None:
            await stop_accepting()
            if beside is not None:
                await beside.stop_accepting(self._drain_limit_s + self._let_go_s)
        if not await self._all_ended(began + max(self._grace_s, self._drain_limit_s)):
            log.info("ending streams", open=len(self._streams))
            self._streams.stop_all(Draining())
            await self._streams.wait_until_none(LAST_EVENTS_S)

    async def let_connections_go(self) -> None:
        """Waits for clients to take the last of their answers, ``let_go_s`` at most."""
        await self._none_open(asyncio.get_running_loop().time() + self._let_go_s)

    async def _all_ended(self, until: float) -> bool:
        """Whether all connections closed by ``until`` (loop time), or all streams ended when it
        was cut short."""
        while not self._cut_short.is_set():
            if await self._none_open(min(until, asyncio.get_running_loop().time() + POLL_S)):
                return True
            if asyncio.get_running_loop().time() >= until:
                break
        return len(self._streams) == 0

    async def _none_open(self, until: float) -> bool:
        while True:
            self._connections.close_idle()
            if not (len(self._connections) or self.calls_beside):
                return True
            left_s = until - asyncio.get_running_loop().time()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(POLL_S, left_s))

    async def _before_stop(self, _app: Sanic[Any, Any]) -> None:
        await self.drain()

    async def _after_stop(self, _app: Sanic[Any, Any]) -> None:
        if self._admin is not None:
            self._admin.close()
        if (beside := self._beside()) is not None:
            await beside.end()
        self._worker_metrics.end()
        await self.tasks.stop()
        await self._running.aclose()

    async def _watch_users(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_INTERVAL_S)
            try:
                self._running.reload_if_changed()
            except Exception:
                # Without this watch nobody could be disabled any more: no exception ends it.
                log.exception("users not reloaded")
