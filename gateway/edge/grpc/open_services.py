"""The services that need no credential, of health and reflection, under the limits of all calls."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection

from gateway.edge.grpc.open_calls import OpenCalls
from gateway.edge.grpc.peer import Context
from gateway.errors import Overloaded


class Health(health.aio.HealthServicer):
    """grpc's own; an address has so many calls of it at a time."""

    def __init__(self, calls: OpenCalls) -> None:
        super().__init__()
        self._calls = calls

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> Any:
        await _begin(self._calls, context)
        return await super().Check(request, context)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        await _begin(self._calls, context)
        await super().Watch(request, context)


class Reflection(reflection.aio.ReflectionServicer):
    """As ``Health``."""

    def __init__(self, calls: OpenCalls, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self._calls = calls

    # Its stub takes the generator for a coroutine.
    async def ServerReflectionInfo(  # type: ignore[override]
        self, request_iterator: AsyncIterable[Any], context: Context
    ) -> AsyncIterator[Any]:
        await _begin(self._calls, context)
        answers: Any = super().ServerReflectionInfo(request_iterator, context)
        async for answer in answers:
            yield answer


async def _begin(calls: OpenCalls, context: Context) -> None:
    try:
        calls.begin_watch(context)
    except Overloaded as full:
        await context.abort(grpc.StatusCode.UNAVAILABLE, full.message)
