"""gzip: for JSON of some size, when the client accepts it, and never for event streams."""

from __future__ import annotations

import gzip
import json

import pytest

from .conftest import Gateway, running_gateway
from .raw import exchange, request
from .stub_core import END, STREAM_HEAD, TOKEN, StubCore, chunk
from .test_query import WHOLE


async def test_large_json_is_compressed_when_asked_for(gateway: Gateway) -> None:
    """The same document, smaller, with ``Vary`` for caches."""
    plain = await exchange(gateway.address, request("GET", "/openapi.json"))
    zipped = await exchange(
        gateway.address, request("GET", "/openapi.json", {"Accept-Encoding": "br, gzip"})
    )
    assert plain.header("content-encoding") is None
    assert zipped.header("content-encoding") == "gzip"
    assert gzip.decompress(zipped.body) == plain.body
    assert len(zipped.body) < len(plain.body) / 2
    for answer in (plain, zipped):
        assert "Accept-Encoding" in (answer.header("vary") or "")
        assert answer.header("content-length") == str(len(answer.body))


@pytest.mark.parametrize("wish", ["identity", "gzip;q=0", "br", "", "*;q=0"])
async def test_nothing_is_compressed_for_who_does_not_ask(gateway: Gateway, wish: str) -> None:
    """No ``gzip`` in the header, or a weight of 0, means no."""
    answer = await exchange(
        gateway.address, request("GET", "/openapi.json", {"Accept-Encoding": wish})
    )
    assert answer.header("content-encoding") is None
    json.loads(answer.body)


async def test_small_json_is_left_alone(gateway: Gateway) -> None:
    """Below the limit it costs more than it saves."""
    for target in ("/healthz", "/nothing"):
        answer = await exchange(
            gateway.address, request("GET", target, {"Accept-Encoding": "gzip"})
        )
        assert answer.header("content-encoding") is None


async def test_the_limit_is_a_setting(core: StubCore) -> None:
    """In bytes of the body; errors are JSON as any other."""
    async with running_gateway(core, COMPRESS_MIN_SIZE="10B") as gateway:
        answer = await exchange(
            gateway.address, request("GET", "/nothing", {"Accept-Encoding": "gzip"})
        )
    assert answer.header("content-encoding") == "gzip"
    assert json.loads(gzip.decompress(answer.body))["error"]["code"] == "NOT_FOUND"


async def test_event_streams_are_never_compressed(core: StubCore) -> None:
    """Events must leave as they come; their JSON answer may be compressed."""
    core.sends(STREAM_HEAD, chunk(TOKEN * 200 + WHOLE), END)
    async with running_gateway(core) as gateway:
        streaming = await gateway.asking(**{"Accept-Encoding": "gzip"})
        body = await streaming.rest()
        streaming.writer.close()
        assert "content-encoding" not in streaming.headers
        assert body.endswith(WHOLE)
        response = await gateway.client.post(
            "/api/v1/query",
            json={"query": "hi", "stream": False},
            headers={**await gateway.bearer(), "Accept-Encoding": "gzip"},
        )
    assert response.headers["content-encoding"] == "gzip"
    assert response.json()["answer"] == "hello" * 201
