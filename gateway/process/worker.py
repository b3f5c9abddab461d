"""A worker: the application on an event loop of its own, in a process the supervisor forked.

Sanic's own runner is not used: it decides about signals, closes the listener before the drain and
cuts what is open. Here the supervisor decides when, and ``Lifecycle`` decides how.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import uvloop
from sanic import Sanic
from sanic.application.state import ApplicationServerInfo
from sanic.http.constants import HTTP
from sanic.touchup.service import TouchUp

from gateway.edge.lifecycle import Lifecycle
from gateway.edge.observe import log_output
from gateway.edge.wire.protocol import GuardedProtocol
from gateway.edge.wire.server_tls import ServerTls
from gateway.process.children import WorkerSlot
from gateway.process.control_channel import SupervisorMessage, WorkerMessage, receive, send
from gateway.process.listeners import BACKLOG, anybody_waits, refuse_new

log = structlog.get_logger("gateway.worker")

HEARTBEAT_S = 2.0
# An accept queue that stayed empty for so long stays empty, once no handshake begins any more: the
# last packet of a handshake takes a round trip. It is looked at for ``EMPTYING_LIMIT_S`` at most.
QUIET_S = 0.25
EMPTYING_LIMIT_S = 2.0
LOOK_S = 0.01

Reload = Callable[[], Coroutine[Any, Any, None]]


def run(
    app: Sanic[Any, Any],
    lifecycle: Lifecycle,
    slot: WorkerSlot,
    *,
    reload: Reload,
    tls: ServerTls | None = None,
) -> int:
    """Serves from ``slot`` until told to stop; gives the process's exit status."""
    # Says where each thread is when the supervisor ends a worker that hangs.
    faulthandler.enable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Worker(app, lifecycle, slot, reload, tls).serve())
    finally:
        # The process ends without Python's own end, which would see to it.
        log_output.flush()
    return 0


async def compile_routes(app: Sanic[Any, Any]) -> None:
    """Sanic's own preparations, done before the fork: a third of what a worker would write.

    Sanic rewrites its methods for the application's signals, and can do so once a process: later
    applications here have the same ones.
    """
    # Unless it knows of one version of HTTP, Sanic puts an empty `Alt-Svc` into every answer.
    app.state.server_info.append(ApplicationServerInfo(settings={"version": HTTP.VERSION_1}))
    await app._startup()  # type: ignore[no-untyped-call]
    app.state.server_info.clear()
    TouchUp._registry.clear()


class _Worker:
    def __init__(
        self,
        app: Sanic[Any, Any],
        lifecycle: Lifecycle,
        slot: WorkerSlot,
        reload: Reload,
        tls: ServerTls | None,
    ) -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._slot = slot
        self._reload = reload
        self._tls = tls
        self._told_to_stop = asyncio.Event()
        # Whether the whole gateway stops; else it is this worker alone, and a successor accepts.
        self._all_stop = False
        self._server: Any = None

    async def serve(self) -> None:
        self._beat()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._slot.channel, self._hear)
        loop.add_signal_handler(signal.SIGTERM, self._told_to_stop.set)
        server = self._server = await self._start()
        send(self._slot.channel, WorkerMessage.READY)
        log.info(
            "worker ready",
            worker=self._slot.number,
            pid=os.getpid(),
            restarts=self._slot.restarts,
            status=self._lifecycle.status,
        )
        await self._told_to_stop.wait()
        await self._lifecycle.drain(self._stop_accepting)
        await self._lifecycle.let_connections_go()
        for connection in tuple(server.connections):
            connection.abort()
        await server.before_stop()
        await server.after_stop()

    async def _start(self) -> Any:
        clocks = {} if self._tls is None else self._tls.clocks
        server: Any = await self._app.create_server(
            sock=self._slot.listener,
            ssl=None if self._tls is None else self._tls.context,
            protocol=GuardedProtocol,
            backlog=BACKLOG,
            access_log=False,
            # Not before there is anything to serve with.
            asyncio_server_kwargs={"start_serving": False, **clocks},
        )
        # It is compiled already (``compile_routes``), on a loop that is gone.
        self._app.signal_router.ctx.loop = asyncio.get_running_loop()
        await server.before_start()
        await server.start_serving()
        await server.after_start()
        return server

    # --- the line to the supervisor --------------------------------------------------------------

    def _beat(self) -> None:
        send(self._slot.channel, WorkerMessage.ALIVE)
        asyncio.get_running_loop().call_later(HEARTBEAT_S, self._beat)

    def _hear(self) -> None:
        orders = receive(self._slot.channel)
        if orders is None:
            # The supervisor is gone: nobody would replace this worker, or stop it.
            asyncio.get_running_loop().remove_reader(self._slot.channel)
            log.error("the supervisor is gone", worker=self._slot.number, pid=os.getpid())
        if orders is None or SupervisorMessage.DRAIN.value in orders:
            self._all_stop = True
            self._told_to_stop.set()
        if orders and SupervisorMessage.CUT_SHORT.value in orders:
            self._lifecycle.cut_short()
        if orders and SupervisorMessage.RELOAD.value in orders:
            self._lifecycle.tasks.spawn(self._reload(), "reload")

    # --- stopping ------------------------------------------------------------------------------

    async def _stop_accepting(self) -> None:
        """Takes what waits in the queue and closes this process's copy of the socket."""
        assert self._server is not None
        if self._all_stop:
            refuse_new(self._slot.listener)
            await self._empty_queue()
        self._server.close()
        send(self._slot.channel, WorkerMessage.ACCEPTS_NO_MORE)

    async def _empty_queue(self) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.time() + EMPTYING_LIMIT_S
        quiet_until = loop.time() + QUIET_S
        while (now := loop.time()) < min(limit, quiet_until):
            if anybody_waits(self._slot.listener):
                quiet_until = now + QUIET_S
            await asyncio.sleep(LOOK_S)
