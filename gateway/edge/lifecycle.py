"""A worker's life: build what is bound to the loop, watch, serve, drain, let go.

Sanic calls these listeners in each worker process. Everything that belongs to an event loop (the
clients, the background watches) is made in ``before_server_start`` and nowhere earlier, because
the application object is built before the worker has a loop.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog
from sanic import Sanic

from gateway.edge import admin
from gateway.edge.routes import check_routes
from gateway.edge.sse import OpenStreams
from gateway.edge.tasks import Tasks
from gateway.errors import Draining
from gateway.flows.health import Health
from gateway.flows.recheck import Recheck

log = structlog.get_logger("gateway.lifecycle")

RELOAD_INTERVAL_S = 1.0


class Running(Protocol):
    """What one worker runs on; ``gateway.services.Services`` is the real one."""

    @property
    def health(self) -> Health: ...

    @property
    def recheck(self) -> Recheck: ...

    def reload_if_changed(self) -> None: ...

    async def aclose(self) -> None: ...


class Lifecycle:
    """Registers itself on ``app``; ``attach`` receives the services once they exist."""

    def __init__(
        self,
        app: Sanic[Any, Any],
        *,
        build: Callable[[Tasks], Awaitable[Running]],
        attach: Callable[[Running], None],
        streams: OpenStreams,
        admin_address: tuple[str, int] | None,
        drain_limit_s: float,
    ) -> None:
        self._build = build
        self._attach = attach
        self._streams = streams
        self._admin_address = admin_address
        self._drain_limit_s = drain_limit_s
        self._services: Running | None = None
        self._admin: asyncio.Server | None = None
        self.tasks = Tasks()
        app.register_listener(self._before_start, "before_server_start")
        app.register_listener(self._after_start, "after_server_start")
        app.register_listener(self._before_stop, "before_server_stop")
        app.register_listener(self._after_stop, "after_server_stop")

    @property
    def draining(self) -> bool:
        return self._services is not None and self._services.health.draining

    @property
    def _running(self) -> Running:
        assert self._services is not None, "the server has not started"
        return self._services

    async def _before_start(self, app: Sanic[Any, Any]) -> None:
        check_routes(app)
        self._services = await self._build(self.tasks)
        self._attach(self._services)
        await self._services.health.check_all()
        self.tasks.spawn(self._services.health.run(), "health")
        self.tasks.spawn(self._services.recheck.run(), "recheck streams")
        self.tasks.spawn(self._watch_users(), "reload users")
        if self._admin_address is not None:
            self._admin = await admin.listen(*self._admin_address, self._services.health)

    async def _after_start(self, _app: Sanic[Any, Any]) -> None:
        self._running.health.starting = False
        # What start-up made lives as long as the worker: some hundred thousand objects that each
        # full collection would go through, stopping all streams for tens of milliseconds.
        gc.collect()
        gc.freeze()
        log.info("worker ready", status=self._running.health.status)

    async def _before_stop(self, _app: Sanic[Any, Any]) -> None:
        """Not ready any more; running streams get the drain limit and then one last event."""
        self._running.health.draining = True
        if not await self._streams.wait_until_none(self._drain_limit_s):
            log.info("ending streams", open=len(self._streams))
            self._streams.stop_all(Draining())
            await self._streams.wait_until_none(timeout_s=1.0)

    async def _after_stop(self, _app: Sanic[Any, Any]) -> None:
        if self._admin is not None:
            self._admin.close()
        await self.tasks.stop()
        await self._running.aclose()

    async def _watch_users(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_INTERVAL_S)
            try:
                self._running.reload_if_changed()
            except Exception:
                # Without this watch nobody could be disabled any more: it goes on whatever comes.
                log.exception("users not reloaded")
