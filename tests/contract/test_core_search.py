"""``CoreHttp.search`` against cores on a real socket: good ones, old ones and bad ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from gateway.domain.core_records import Passage
from gateway.errors import (
    CoreLacks,
    CoreProtocolError,
    CoreTimeout,
    CoreUnavailable,
    GatewayError,
)
from tests.unit.http_client.scripted import answering, once, serve

from .test_core import (
    ID,
    LATER,
    REFUSALS,
    WHO,
    app,
    core_at,
    error_shape,
    reply,
    times,
)

PASSAGE: dict[str, Any] = {
    "document_id": ID,
    "filename": "a.pdf",
    "chunk_id": f"{ID}:0",
    "score": 2.5,
    "text": "Tea.",
    "page": 3,
}


def answer(*passages: dict[str, Any]) -> bytes:
    return reply(200, json.dumps({"passages": passages}).encode())


async def test_a_search_travels_as_the_contract_says() -> None:
    """One POST in the owner's name; the passages come as they are."""
    seen: list[tuple[str, str, dict[str, str], Any]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen.append((request.method, request.raw_path, headers, await request.json()))
        return web.json_response({"passages": [PASSAGE | {"unknown": 1}]})

    body = {"query": "tea", "top_k": 3, "document_ids": [ID]}
    async with app(handler) as url, core_at(url) as (core, _):
        assert await core.search(WHO, body) == [Passage(**PASSAGE)]
    [(method, path, headers, sent)] = seen
    assert (method, path, sent) == ("POST", "/v1/search", body)
    assert headers["content-type"] == headers["accept"] == "application/json"
    assert headers["authorization"] == "Bearer s3cret"
    assert (headers["x-kb-tenant"], headers["x-kb-subject"]) == ("acme", "ann")


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("body", [b"", b"<html>", error_shape("NOT_FOUND")])
async def test_a_core_without_a_search_is_told_apart(status: int, body: bytes) -> None:
    """Old cores say it in many ways. It is no fault of the address: that is not ejected."""
    async with serve(answering(reply(status, body))) as server, core_at(server.url) as (core, _):
        for _ in range(5):
            with pytest.raises(CoreLacks) as caught:
                await core.search(WHO, {"query": "tea"})
        assert (caught.value.status, caught.value.code) == (501, "NOT_IMPLEMENTED")


@pytest.mark.parametrize(("refusal", "kind"), REFUSALS)
async def test_a_search_the_core_refuses_has_its_true_status(
    refusal: bytes, kind: type[GatewayError]
) -> None:
    """The same table as for all calls."""
    async with serve(once(refusal)) as server, core_at(server.url) as (core, _):
        with pytest.raises(GatewayError) as caught:
            await core.search(WHO, {"query": "tea"})
        assert type(caught.value) is kind
        assert "secret" not in repr((caught.value.message, caught.value.details))


WRONG: dict[str, bytes] = {
    "no JSON": reply(200, b"{"),
    "another shape": reply(200, b"[]"),
    "no passages": reply(200, b"{}"),
    "no score": answer({k: v for k, v in PASSAGE.items() if k != "score"}),
    "an endless score": reply(200, json.dumps({"passages": [PASSAGE]}).encode().replace(
        b"2.5", b"1e999")),
    "a document that is none": answer(PASSAGE | {"document_id": "../x"}),
    "a document that was not asked for": answer(PASSAGE | {"document_id": LATER}),
    "more than asked for": answer(PASSAGE, PASSAGE, PASSAGE),
    "page nought": answer(PASSAGE | {"page": 0}),
    "more than is read": answer(PASSAGE | {"text": "x" * 5000}),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
async def test_passages_that_cannot_be_are_the_cores_fault(case: str) -> None:
    """Nothing of them is shown."""
    body = {"query": "tea", "top_k": 2, "document_ids": [ID]}
    async with (
        serve(once(WRONG[case])) as server,
        core_at(server.url, body_limit_bytes=4096) as (core, _),
    ):
        with pytest.raises(CoreProtocolError):
            await core.search(WHO, body)


async def test_a_search_that_broke_is_made_once_more() -> None:
    """It changes nothing, so that a stale connection costs nobody an error."""
    async with serve(once(b"")) as bad:
        async with serve(answering(answer())) as good, core_at(bad.url, good.url) as (core, _):
            assert await core.search(WHO, {"query": "tea"}) == []
        async with core_at(bad.url) as (core, _):
            with pytest.raises(CoreUnavailable):
                await core.search(WHO, {"query": "tea"})
        assert bad.connections == 3


async def test_a_silent_core_is_a_timeout() -> None:
    """Within the bound of all calls but questions."""
    async with (
        serve(answering(b"HTTP/1.1 200")) as silent,
        core_at(silent.url, timeouts=times(call_s=0.05)) as (core, _),
    ):
        with pytest.raises(CoreTimeout):
            await core.search(WHO, {"query": "tea"})
        await silent.until(lambda: silent.open == 0)
