"""A worker: the application on an event loop of its own, in a process the supervisor forked.

Sanic's own runner is not used: it handles signals itself, closes the listener before the drain and
cuts open connections. Here the supervisor decides when a worker stops, and ``Lifecycle`` how.
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

from gateway.app import Application
from gateway.edge.observe import log_output
from gateway.process.children import WorkerSlot
from gateway.process.control_channel import SupervisorMessage, WorkerMessage, receive, send
from gateway.process.listeners import BACKLOG, has_waiting_connection, refuse_new

log = structlog.get_logger("gateway.worker")

HEARTBEAT_S = 2.0
# Once no new handshake can begin, an accept queue that was empty for ``QUIET_S`` stays empty: the
# last packet of a handshake takes one round trip. The wait ends after ``EMPTYING_LIMIT_S``.
QUIET_S = 0.25
EMPTYING_LIMIT_S = 2.0
QUEUE_POLL_S = 0.01

Reload = Callable[[], Coroutine[Any, Any, None]]


def run(app: Application, slot: WorkerSlot, *, reload: Reload) -> int:
    """Serves from ``slot`` until it has to stop; returns the process's exit status."""
    # Prints the stack of each thread when the supervisor ends a hung worker by SIGABRT.
    faulthandler.enable()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_Worker(app, slot, reload).serve())
    finally:
        # The process ends by ``os._exit``, so that no exit handler of Python does this.
        log_output.finish()
    return 0


async def compile_routes(app: Sanic[Any, Any]) -> None:
    """Sanic's own preparations, done before the fork: they are a third of the memory that a worker
    would write to by itself.

    Sanic rewrites its own methods for the application's signals. It can do so once in a process;
    applications made later (at a reload) have the same signals.
    """
    # Without a server entry with an HTTP version, Sanic adds an empty `Alt-Svc` to every answer.
    app.state.server_info.append(ApplicationServerInfo(settings={"version": HTTP.VERSION_1}))
    await app._startup()  # type: ignore[no-untyped-call]
    app.state.server_info.clear()
    TouchUp._registry.clear()


class _Worker:
    def __init__(self, app: Application, slot: WorkerSlot, reload: Reload) -> None:
        self._app = app
        self._lifecycle = app.lifecycle
        self._slot = slot
        self._reload = reload
        self._stop_requested = asyncio.Event()
        # Whether the whole gateway stops. If only this worker does, a successor accepts from the
        # same socket.
        self._gateway_stops = False
        self._server: Any = None

    async def serve(self) -> None:
        self._send_heartbeat()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._slot.channel, self._read_messages)
        loop.add_signal_handler(signal.SIGTERM, self._stop_requested.set)
        server = self._server = await self._start()
        send(self._slot.channel, WorkerMessage.READY)
        log.info(
            "worker ready",
            worker=self._slot.number,
            pid=os.getpid(),
            restarts=self._slot.restarts,
            status=self._lifecycle.status,
        )
        await self._stop_requested.wait()
        await self._lifecycle.drain(self._stop_accepting)
        await self._lifecycle.let_connections_go()
        for connection in tuple(server.connections):
            connection.abort()
        await server.before_stop()
        await server.after_stop()

    async def _start(self) -> Any:
        sanic = self._app.sanic
        server: Any = await sanic.create_server(
            sock=self._slot.listener,
            # Sanic calls it with keyword arguments and asks nothing else of it.
            protocol=self._app.protocol,  # type: ignore[arg-type]
            backlog=BACKLOG,
            access_log=False,
            # Connections are accepted only after ``before_start`` has opened the dependencies.
            asyncio_server_kwargs={"start_serving": False},
        )
        # The signal router was compiled before the fork, on another loop (``compile_routes``).
        sanic.signal_router.ctx.loop = asyncio.get_running_loop()
        await server.before_start()
        await server.start_serving()
        await server.after_start()
        return server

    # --- the channel to the supervisor -----------------------------------------------------------

    def _send_heartbeat(self) -> None:
        send(self._slot.channel, WorkerMessage.ALIVE)
        asyncio.get_running_loop().call_later(HEARTBEAT_S, self._send_heartbeat)

    def _read_messages(self) -> None:
        messages = receive(self._slot.channel)
        if messages is None:
            # Without a supervisor nobody would replace this worker or stop it, so it drains.
            asyncio.get_running_loop().remove_reader(self._slot.channel)
            log.error("the supervisor is gone", worker=self._slot.number, pid=os.getpid())
        if messages is None or SupervisorMessage.DRAIN.value in messages:
            self._gateway_stops = True
            self._stop_requested.set()
        if messages and SupervisorMessage.CUT_SHORT.value in messages:
            self._lifecycle.cut_short()
        if messages and SupervisorMessage.RELOAD.value in messages:
            self._lifecycle.tasks.spawn(self._reload(), "reload")

    # --- stopping ------------------------------------------------------------------------------

    async def _stop_accepting(self) -> None:
        """Accepts what is in the queue, then closes this process's copy of the socket."""
        assert self._server is not None
        if self._gateway_stops:
            refuse_new(self._slot.listener)
            await self._empty_queue()
        self._server.close()
        send(self._slot.channel, WorkerMessage.ACCEPTS_NO_MORE)

    async def _empty_queue(self) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.time() + EMPTYING_LIMIT_S
        quiet_until = loop.time() + QUIET_S
        while (now := loop.time()) < min(limit, quiet_until):
            if has_waiting_connection(self._slot.listener):
                quiet_until = now + QUIET_S
            await asyncio.sleep(QUEUE_POLL_S)
