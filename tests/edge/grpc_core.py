"""A core that speaks gRPC: what a stub core says over HTTP, said again as ``CoreService`` says it.

So whatever a test has its core do, it does over either protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import grpc
from grpc_health.v1 import health_pb2

from gateway.adapters.core_proto import core_pb2
from gateway.domain.sse import SseParser

from .raw import read_chunk, read_head, request
from .stub_core import StubCore

# What the gateway says of a call; all else is grpc's own.
_SAID = ("authorization", "traceparent", "x-")


@contextlib.asynccontextmanager
async def speaking_grpc(core: StubCore) -> AsyncIterator[None]:
    """Meanwhile the address of ``core`` is one of gRPC."""
    spoken = core.url
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(_handlers(spoken)))
    core.url = f"grpc://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield
    finally:
        core.url = spoken
        await server.stop(None)


def _handlers(url: str) -> list[grpc.GenericRpcHandler]:
    async def query(asked: core_pb2.QueryRequest, context: Any) -> None:
        found = urlsplit(url)
        reader, writer = await asyncio.open_connection(found.hostname, found.port)
        try:
            writer.write(_question(asked, context))
            await _answer(reader, context)
        except (ConnectionError, asyncio.IncompleteReadError):
            await context.abort(grpc.StatusCode.UNAVAILABLE)
        finally:
            writer.transport.abort()

    async def check(_asked: object, _context: object) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    asks = grpc.unary_stream_rpc_method_handler(
        query, core_pb2.QueryRequest.FromString, core_pb2.QueryResponse.SerializeToString
    )
    checks = grpc.unary_unary_rpc_method_handler(
        check,
        health_pb2.HealthCheckRequest.FromString,
        health_pb2.HealthCheckResponse.SerializeToString,
    )
    return [
        grpc.method_handlers_generic_handler("knowledge.core.v1.CoreService", {"Query": asks}),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": checks}),
    ]


def _question(asked: core_pb2.QueryRequest, context: Any) -> bytes:
    said = [(name, text) for name, text in context.invocation_metadata() if name.startswith(_SAID)]
    return request("POST", "/v1/query", said, json.dumps({"query": asked.query}).encode())


async def _answer(reader: asyncio.StreamReader, context: Any) -> None:
    status, _ = await read_head(reader)
    assert status == 200, "a test of refusals is none of both protocols"
    await context.send_initial_metadata((("x-kb-corpus-revision", "r.1"),))
    parser = SseParser()
    while piece := await read_chunk(reader):
        events = [
            core_pb2.Event(name=event.type, data=event.data.encode())
            for event in parser.feed(piece)
        ]
        await context.write(core_pb2.QueryResponse(events=events))
