"""The gRPC listener of a worker: its server, its limits, its health service and reflection.

Every worker listens on the same port by ``SO_REUSEPORT``, and grpc accepts by itself. The server is
made on the worker's own event loop: one that was made before the fork would hang in a child.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from gateway.domain.wire import HEAD_LIMIT_BYTES
from gateway.edge.grpc.door import GrpcCalls
from gateway.edge.grpc.listener_tls import credentials
from gateway.edge.grpc.methods import SERVICES
from gateway.edge.grpc.open_services import Health, Reflection
from gateway.settings import Settings

log = structlog.get_logger("gateway.grpc")

HEALTH_POLL_S = 0.5
# How long last words and statuses may take to be sent when all else is over.
LAST_WORDS_S = 1.0
# A connection is asked to go after so long, so that load spreads over workers that came later, and
# is cut off when no stream that began on it can still be open: a client that reads nothing more
# keeps nothing for good.
AGE_S: Final = 3600.0
AGE_MARGIN_S: Final = 60.0
# Clients may ask so often whether the connection stands; grpc ends one that asks more often.
CLIENT_PINGS_S: Final = 10.0
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def options(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Of the server; durations are milliseconds there."""
    age_grace_s = settings.stream_total + AGE_MARGIN_S
    return (
        ("grpc.so_reuseport", 1),
        ("grpc.max_allowed_incoming_connections", settings.connections_limit),
        ("grpc.max_concurrent_streams", settings.grpc_streams),
        ("grpc.max_receive_message_length", settings.grpc_message_limit),
        ("grpc.max_metadata_size", HEAD_LIMIT_BYTES),
        ("grpc.absolute_max_metadata_size", HEAD_LIMIT_BYTES),
        ("grpc.server_handshake_timeout_ms", _ms(settings.head_timeout)),
        ("grpc.max_connection_idle_ms", _ms(settings.keep_alive_timeout)),
        ("grpc.max_connection_age_ms", _ms(AGE_S)),
        ("grpc.max_connection_age_grace_ms", _ms(age_grace_s)),
        # What comments are to an event stream: a client that is gone is noticed.
        ("grpc.keepalive_time_ms", _ms(settings.stream_ping)),
        ("grpc.keepalive_timeout_ms", _ms(settings.stream_client_stall)),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(CLIENT_PINGS_S)),
    )


def _address(settings: Settings) -> str:
    host = settings.server_host
    return f"{f'[{host}]' if ':' in host else host}:{settings.grpc_port}"


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


class _Unregistered:
    """A server to which methods are given by name alone.

    For registered ones it waits beforehand, and when it breaks off it frees what waits while grpc's
    core still writes to it.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, *_handlers: object) -> None:
        """None is registered."""


class GrpcListener:
    """Implements ``edge.lifecycle.Beside``.

    Args:
        is_ready: whether the worker may be sent requests.
    """

    def __init__(
        self,
        settings: Settings,
        calls: GrpcCalls,
        handlers: Sequence[grpc.GenericRpcHandler],
        is_ready: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._calls = calls
        self._handlers = handlers
        self._services = [service.full_name for service in SERVICES.values()]
        self._is_ready = is_ready
        self._health = Health(calls.open)
        self._server: grpc.aio.Server | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._broken: set[asyncio.Future[None]] = set()

    @property
    def under_way(self) -> int:
        """Calls that were not answered yet; not those of health and reflection."""
        return self._calls.under_way

    async def start(self) -> None:
        """Listens.

        Raises:
            RuntimeError: the address is taken.
        """
        settings = self._settings
        server = grpc.aio.server(
            options=options(settings), maximum_concurrent_rpcs=settings.connections_limit
        )
        server.add_generic_rpc_handlers(tuple(self._handlers))
        unregistered: Any = _Unregistered(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, unregistered)
        shown = (*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
            Reflection(self._calls.open, shown), unregistered
        )
        address, secured = _address(settings), credentials(settings)
        if secured is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, secured)
        await self._tell(self._is_ready())
        await server.start()
        self._server = server

    async def watch(self) -> None:
        """Keeps what health says up to date, and ends what stalls, for as long as all is served."""
        told = self._is_ready()
        while True:
            await asyncio.sleep(HEALTH_POLL_S)
            if told != (told := self._is_ready()):
                await self._tell(told)
            await self._calls.open.cut_stalled(self._settings.grpc_port)
            await self._serve_again_if_broken()

    async def _serve_again_if_broken(self) -> None:
        """grpc ends its server over a method's name that is not UTF-8, and anybody may send one."""
        if self._server is None or self._stopping is not None:
            return
        try:
            if await self._server.wait_for_termination(0):
                return
        except Exception as problem:
            log.error("grpc server broke off and is started again", reason=repr(problem))
        # Its own stop has failed half-way: what is left of it would be freed while still in use.
        broken = asyncio.ensure_future(self._server.stop(self._settings.stream_total))
        self._broken.add(broken)
        broken.add_done_callback(self._broken.discard)
        try:
            await self.start()
        except RuntimeError as problem:
            log.error("grpc server could not be started again", reason=str(problem))

    async def leave(self) -> None:
        """The worker is about to end: who asks for its health goes elsewhere."""
        await self._health.enter_graceful_shutdown()

    async def stop_accepting(self, limit_s: float) -> None:
        """Closes the socket and tells every client to go (GOAWAY); calls go on for ``limit_s``."""
        if self._server is not None and self._stopping is None:
            stopping = self._server.stop(limit_s)
            self._stopping = asyncio.ensure_future(stopping)
            # It closes the socket and sends the frames in its first steps.
            await asyncio.sleep(0)

    async def end(self) -> None:
        """Ends what is left; the last statuses have a moment to be sent."""
        if self._server is not None:
            await self._server.stop(LAST_WORDS_S)
        if self._stopping is not None:
            await asyncio.wait([self._stopping])

    async def _tell(self, is_ready: bool) -> None:
        status: Any = _SERVING if is_ready else _NOT_SERVING
        for service in ("", *self._services):
            await self._health.set(service, status)
