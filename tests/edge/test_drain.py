"""Stopping: streams end with an error event, new requests are sent to another replica."""

from __future__ import annotations

import asyncio

from .conftest import Gateway, running_gateway
from .raw import assert_error_shape, exchange, request
from .stub_core import META, STREAM_HEAD, StubCore, chunk
from .test_query import terminal


async def test_a_stop_ends_a_query_whose_head_is_not_there_yet(core: StubCore) -> None:
    """A core that has not answered delays no drain: the answer can still be a 503."""
    async with running_gateway(core, STREAM_EARLY_HEAD="60s") as gateway:
        core.holds()
        headers = await gateway.bearer()
        asked = asyncio.create_task(
            gateway.client.post("/api/v1/query", json={"query": "hi"}, headers=headers)
        )
        async with asyncio.timeout(20):
            await core.asked.wait()
        await gateway.drain()
        response = await asked
        assert (response.status_code, response.json()["error"]["code"]) == (503, "DRAINING")
        assert response.headers["retry-after"]


async def test_a_stop_ends_a_query_with_an_early_head(core: StubCore) -> None:
    """The head went out before the core's came: what is left to say is the last event."""
    async with running_gateway(core, STREAM_EARLY_HEAD="0s") as gateway:
        core.holds()
        streaming = await gateway.asking()
        async with asyncio.timeout(20):
            await core.asked.wait()
        assert streaming.status == 200
        await gateway.drain()
        assert terminal(await streaming.rest())["code"] == "DRAINING"
        streaming.writer.close()


async def test_a_stream_that_ends_in_time_is_left_alone(core: StubCore) -> None:
    """Until the drain limit nothing is cut short."""
    async with running_gateway(core, DRAIN_LIMIT="20s") as gateway:
        go_on = core.holds(STREAM_HEAD, chunk(META))
        streaming = await gateway.asking()
        await streaming.until(META)
        draining = asyncio.create_task(gateway.drain())
        while (await exchange(gateway.address, request("GET", "/readyz"))).status == 200:
            assert not draining.done()
        go_on.set()
        assert terminal(META + await streaming.rest())["code"] == "CORE_TRUNCATED"
        await draining
        streaming.writer.close()


async def test_while_draining_new_queries_go_elsewhere(gateway: Gateway) -> None:
    """503 with a time to try again; not ready, still alive, and no connection is kept."""
    headers = {"Content-Type": "application/json", **await gateway.bearer()}
    await gateway.drain()
    refused = await exchange(
        gateway.address, request("POST", "/api/v1/query", headers, b'{"query": "hi"}')
    )
    assert (refused.status, refused.code) == (503, "DRAINING")
    assert refused.header("retry-after")
    assert refused.header("connection") == "close"
    assert_error_shape(refused)
    ready = await exchange(gateway.address, request("GET", "/readyz"))
    assert (ready.status, ready.json()["status"]) == (503, "unavailable")
    alive = await exchange(gateway.address, request("GET", "/healthz"))
    assert (alive.status, alive.header("connection")) == (200, "close")


async def test_while_draining_short_requests_are_answered(gateway: Gateway) -> None:
    """Requests that still come are answered, until the listener closes."""
    headers = await gateway.bearer()
    await gateway.drain()
    answer = await exchange(gateway.address, request("GET", "/api/v1/auth/me", headers))
    assert (answer.status, answer.header("connection")) == (200, "close")
