"""A gRPC core's answer under way: its messages become the bytes that a REST core would send."""

from __future__ import annotations

import asyncio
import logging

import grpc

from gateway.adapters.core_adapter import revision_in
from gateway.adapters.core_calls import Answered, end_lease
from gateway.adapters.core_grpc_messages import EventLines
from gateway.adapters.core_grpc_statuses import in_mid_stream
from gateway.adapters.core_grpc_way import GrpcAnswer, Rpc
from gateway.domain.balancing import Outcome
from gateway.errors import GatewayError, InternalError
from gateway.ports import CoreSink

log = logging.getLogger("gateway.core")


class GrpcCoreStream:
    """Implements ``ports.CoreStream``: owns the answer and closes it on every way out.

    One message is read after the other, and none while it is paused: what the core sends on then
    waits in HTTP/2's window, and after that in the core.
    """

    __slots__ = ("__weakref__", "_answer", "_lease", "_lines", "_reading", "_room")

    def __init__(self, answered: Answered[GrpcAnswer], lines: EventLines) -> None:
        self._answer = answered.body
        self._lease = answered.lease
        self._lines = lines
        self._reading: asyncio.Task[None] | None = None
        # Set while it is paused; done when it goes on.
        self._room: asyncio.Future[None] | None = None

    @property
    def revision(self) -> str | None:
        """Of the documents that it is made of, where the core says so."""
        return revision_in(self._answer)

    def attach(self, sink: CoreSink) -> None:
        reading = self._read(sink)
        self._reading = asyncio.create_task(reading, name="read a gRPC core's answer")

    def pause(self) -> None:
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()

    def resume(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def aclose(self) -> None:
        self._answer.close()
        self._lease.abandon()
        reading, self._reading = self._reading, None
        if reading is not None and reading is not asyncio.current_task():
            reading.cancel()
            await asyncio.wait([reading])

    async def _read(self, sink: CoreSink) -> None:
        rpc = self._answer.rpc
        if rpc is None:
            return  # it was closed before
        try:
            error = await self._pass_on(rpc, sink)
        except GatewayError as exc:
            error = exc
        except Exception:
            log.exception("core_stream_broke")
            error = InternalError()
        end_lease(self._lease, Outcome.GOOD if error is None else Outcome.FAILED)
        self._answer.close()
        sink.ended(error)

    async def _pass_on(self, rpc: Rpc, sink: CoreSink) -> GatewayError | None:
        """Every message, to the end; how it broke, or ``None``."""
        read, received, lines = rpc.read, sink.received, self._lines.of
        message, self._answer.message = self._answer.message, None
        try:
            if message is None:
                message = await read()  # type: ignore[assignment]  # ``EOF`` is told below
            while isinstance(message, bytes):
                received(lines(message))
                if self._room is not None:
                    await self._room
                message = await read()  # type: ignore[assignment]
        except grpc.aio.AioRpcError as error:
            ending = in_mid_stream(error)
            if isinstance(ending, GatewayError):
                return ending
            received(ending)
        return None
