"""How a call goes to a core over gRPC, and the answer whose head is in.

The head of a streamed answer is its initial metadata, where it holds anything. gRPC tells empty
metadata also of a call that was refused at once, so there the first message is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import grpc

from gateway.adapters.core_calls import Call
from gateway.adapters.core_grpc_connections import CORE_SERVICE, GrpcConnections, Use
from gateway.adapters.core_grpc_statuses import before_the_head
from gateway.domain.balancing import Address

QUERY = f"/{CORE_SERVICE}/Query"

Rpc: TypeAlias = "grpc.aio.UnaryStreamCall[bytes, bytes]"


class GrpcAnswer:
    """Implements ``core_calls.Head``.

    Attributes:
        status: 200, or what the core's status would be in HTTP.
        message: the answer that is one message, or the first one of a stream; ``None`` where it is
            still to come, or there is none.
        code: the core's own, of a refusal; ``None`` where it says none.
        retry_after_s: when the core wants to be asked again.
        head: the initial metadata that is text, by its keys.
        rpc: the stream's call, as long as it is open.
    """

    __slots__ = ("_use", "code", "head", "message", "retry_after_s", "rpc", "status")

    def __init__(
        self,
        status: int = 200,
        *,
        head: Mapping[str, str] | None = None,
        message: bytes | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
        rpc: Rpc | None = None,
        use: Use | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.code = code
        self.retry_after_s = retry_after_s
        self.rpc = rpc
        self.head = head or {}
        self._use = use

    def header(self, name: bytes) -> str | None:
        return self.head.get(name.decode("ascii"))

    def close(self) -> None:
        """Nobody wants the rest: the core is told. Safe to call at any time."""
        rpc, self.rpc = self.rpc, None
        use, self._use = self._use, None
        if rpc is not None:
            rpc.cancel()
        if use is not None:
            use.release()

    def __del__(self) -> None:
        # One that was forgotten.
        self.close()


class GrpcWay:
    """Implements ``core_calls.Way``.

    Args:
        connections: whoever made them closes them.
        answer_s: the deadline of a streamed answer that the core is told. Longer than the gateway
            lets a stream last, which is how it ends; this one is for a gateway that vanished.
    """

    def __init__(self, connections: GrpcConnections, *, answer_s: float | None) -> None:
        self._connections = connections
        self._answer_s = answer_s

    async def ask(
        self, address: Address, call: Call, *, connect_s: float, pool_s: float
    ) -> GrpcAnswer:
        use = await self._connections.use(address, connect_s=connect_s, pool_s=pool_s)
        if call.target == QUERY:
            return await self._open(use, call)
        try:
            return await _whole(use, call)
        finally:
            use.release()

    async def _open(self, use: Use, call: Call) -> GrpcAnswer:
        rpc = use.connection.streaming(call.target)(
            call.content or b"", timeout=self._answer_s, metadata=tuple(call.headers.items())
        )
        answer = GrpcAnswer(rpc=rpc, use=use)
        try:
            if call.on_sent is not None:
                call.on_sent()
            answer.head = _texts(await rpc.initial_metadata())
            if not answer.head:
                first = await rpc.read()
                answer.message = first if isinstance(first, bytes) else None
        except grpc.aio.AioRpcError as error:
            answer.close()
            return _refused(error)
        except BaseException:
            answer.close()
            raise
        return answer


async def _whole(use: Use, call: Call) -> GrpcAnswer:
    rpc = use.connection.unary(call.target)(
        call.content or b"", timeout=call.bound_s, metadata=tuple(call.headers.items())
    )
    if call.on_sent is not None:
        call.on_sent()
    try:
        message = await rpc
        return GrpcAnswer(head=_texts(await rpc.initial_metadata()), message=message)
    except grpc.aio.AioRpcError as error:
        return _refused(error)


def _refused(error: grpc.aio.AioRpcError) -> GrpcAnswer:
    refused = before_the_head(error)
    return GrpcAnswer(refused.status, code=refused.code, retry_after_s=refused.retry_after_s)


def _texts(metadata: Any) -> dict[str, str]:
    return {key: value for key, value in metadata or () if isinstance(value, str)}
