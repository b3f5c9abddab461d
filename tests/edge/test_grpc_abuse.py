"""The gRPC listener against clients that mean it ill: how many, how slow, how malformed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from . import http2
from .conftest import running_gateway
from .doors import all_open
from .grpc_client import ASK, Failure, asking, call, channel, rest
from .keeping_core import keeping_core, settled
from .raw import TIMEOUT_S
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk
from .test_grpc import failure
from .test_logs import Lines, lines, uncached

__all__ = ["lines", "uncached"]

ME = "/knowledge.gateway.v1.AuthService/Me"
QUESTION = b"\x0a\x02hi"
# No clock but the one that is the subject.
NO_CLOCKS = {"KEEP_ALIVE_TIMEOUT": "10m", "HEAD_TIMEOUT": "10m", "STREAM_PING": "10m"}


# --- how many -------------------------------------------------------------------------------------


async def test_a_worker_has_so_many_connections(core: StubCore) -> None:
    """Counted from the first byte on, also where nothing is ever sent; one that ends makes room."""
    settings = {**all_open(), **NO_CLOCKS, "CONNECTIONS_LIMIT": "2"}
    async with (
        running_gateway(core, **settings) as gateway,
        http2.connected(gateway, http2.hello()) as first,
        http2.connected(gateway) as silent,
    ):
        await first.read(http2.SETTINGS)
        await silent.reader.readexactly(1)
        assert not await _is_let_in(gateway)
        first.writer.close()
        await settled_by(lambda: _is_let_in(gateway))


async def settled_by(reached: Callable[[], Awaitable[bool]]) -> None:
    """Asks until this is so."""
    async with asyncio.timeout(TIMEOUT_S):
        while not await reached():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _is_let_in(gateway: Any) -> bool:
    async with http2.connected(gateway, http2.hello()) as one:
        try:
            await one.read(http2.SETTINGS)
        except EOFError:
            return False
        return True


async def test_an_address_has_so_many_calls_at_a_time(core: StubCore) -> None:
    """Together with its connections over HTTP; others are not touched, nor is what follows."""
    settings = {"TRUSTED_PROXIES": "127.0.0.0/8", "CONNECTIONS_PER_ADDRESS": "1"}
    go_on = core.holds(STREAM_HEAD, chunk(META), then=chunk(DONE) + END)
    async with running_gateway(core, **all_open(), **settings) as gateway:
        bearer = await gateway.bearer()
        mine, others = ({"x_forwarded_for": ip} for ip in ("192.0.2.1", "192.0.2.2"))
        async with channel(gateway) as opened:
            answer = asking(opened, bearer, **mine)
            await answer.read()
            refused = await failure(call(opened, "AuthService/Me", {}, bearer, **mine))
            assert (refused.status, refused.code) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
            head = {**bearer, "X-Forwarded-For": "192.0.2.1"}
            assert (await gateway.client.get("/api/v1/auth/me", headers=head)).status_code == 503
            await call(opened, "AuthService/Me", {}, bearer, **others)
            go_on.set()
            assert await rest(answer) == ["done"]
            await settled_by(lambda: _is_answered(opened, bearer, mine))


async def _is_answered(opened: Any, bearer: Any, more: Any) -> bool:
    try:
        await call(opened, "AuthService/Me", {}, bearer, **more)
    except grpc.aio.AioRpcError as error:
        if Failure.of(error).code != "OVERLOADED":
            raise
        return False
    return True


async def test_who_watches_health_without_a_credential_is_counted(core: StubCore) -> None:
    """A watch lasts as long as its client likes, and so does a call of reflection."""
    settings = {"TRUSTED_PROXIES": "127.0.0.0/8", "CONNECTIONS_PER_ADDRESS": "2"}
    async with running_gateway(core, **all_open(), **settings) as gateway:
        mine, others = ((("x-forwarded-for", ip),) for ip in ("192.0.2.1", "192.0.2.2"))
        async with channel(gateway) as opened:
            watch, asked = health_pb2_grpc.HealthStub(opened).Watch, health_pb2.HealthCheckRequest()
            held = [watch(asked, metadata=mine) for _ in range(2)]
            for one in held:
                await one.read()
            refused = await failure(watch(asked, metadata=mine).read())
            assert refused.status == grpc.StatusCode.UNAVAILABLE
            reflect = opened.stream_stream(
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
            )
            refused = await failure(reflect(metadata=mine).read())
            assert refused.status == grpc.StatusCode.UNAVAILABLE
            await watch(asked, metadata=others).read()
            for one in held:
                one.cancel()


# --- how slow -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [ASK, ME])
async def test_a_connection_whose_client_takes_nothing_is_cut(path: str, lines: Lines) -> None:
    """Although it lives and answers pings: a call that nobody takes cannot be ended otherwise."""
    settings = {**all_open(), **NO_CLOCKS, "STREAM_CLIENT_STALL": "300ms"}
    async with keeping_core() as core, running_gateway(core, **settings) as gateway:
        core.counts(100)
        bearer = (await gateway.bearer())["Authorization"].encode()
        message = QUESTION if path == ASK else b""
        begin = http2.hello(0) + http2.call(1, path, message, {b"authorization": bearer})
        async with http2.connected(gateway, begin) as stalled:
            await stalled.read(http2.HEADERS)
            await stalled.until_over()
        await settled(lambda: "connections of stalled calls cut" in lines.text)
        await settled(lambda: all(visit.left for visit in core.visits))
        assert len(core.visits) == (path == ASK)


# --- how malformed --------------------------------------------------------------------------------


async def test_a_method_that_is_no_text_takes_the_service_from_nobody(core: StubCore) -> None:
    """grpc ends its server over it; the next calls are served by a new one, on the same port."""
    async with running_gateway(core, **all_open()) as gateway:
        bearer = await gateway.bearer()
        begin = http2.hello() + http2.call(1, "/\udcff\udcfe", b"", {})
        for _ in range(2):
            async with http2.connected(gateway, begin) as stranger:
                await stranger.until_over()
            await settled_by(lambda: _is_served(gateway, bearer))
        assert await _is_served(gateway, bearer)


async def _is_served(gateway: Any, bearer: Any) -> bool:
    async with channel(gateway) as opened:
        try:
            me = await call(opened, "AuthService/Me", {}, bearer)
        except grpc.aio.AioRpcError:
            return False
        return bool(me.subject == "alice")
