"""``ETag`` and 304 on document reads and lists, as a cache meets them (RFC 9110 and 9111)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .conftest import Gateway, running_gateway
from .raw import Answer, exchange, request
from .stub_core import StubCore
from .test_core_records import ID, RECORD, answers

DOCUMENT = f"/api/v1/documents/{ID.format(0)}"
LIST = "/api/v1/documents"
# RFC 9110, 15.4.5: what a 200 would have had of these, a 304 has too.
CARRIED = ("cache-control", "content-location", "date", "etag", "expires", "vary")


def knows(gateway: Gateway, target: str, record: dict[str, Any]) -> None:
    answers(gateway, {"documents": [record], "next_cursor": None} if target == LIST else record)


async def knows_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


async def get(
    gateway: Gateway, target: str, method: str = "GET", who: str = "alice", **headers: str
) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named = {**await gateway.bearer(who), **named}
    return await exchange(gateway.address, request(method, target, named))


def carried(answer: Answer) -> dict[str, str | None]:
    return {name: answer.header(name) for name in CARRIED}


@pytest.mark.parametrize("target", [DOCUMENT, LIST])
async def test_who_has_it_is_told_so_until_it_changes(gateway: Gateway, target: str) -> None:
    """200 with a tag; 304 without a body to who has it; 200 again once the document is another."""
    knows(gateway, target, RECORD)
    whole = await get(gateway, target)
    tag = whole.header("etag") or ""
    assert (whole.status, whole.header("cache-control")) == (200, "private, no-cache")
    assert tag.startswith('W/"')

    same = await get(gateway, target, If_None_Match=f'"other", {tag}')
    assert (same.status, same.body) == (304, b"")
    assert same.header("content-type") is None
    assert carried(same) == carried(whole)
    assert (await get(gateway, target, If_None_Match="*")).status == 304

    knows(gateway, target, {**RECORD, "status": "failed", "error": "unreadable"})
    other = await get(gateway, target, If_None_Match=tag)
    assert other.status == 200
    assert other.header("etag") != tag


@pytest.mark.parametrize("target", [DOCUMENT, LIST])
async def test_a_head_has_the_same_tag_and_the_same_304(gateway: Gateway, target: str) -> None:
    knows(gateway, target, RECORD)
    whole = await get(gateway, target)
    head = await get(gateway, target, "HEAD")
    assert carried(head) == carried(whole)
    assert (head.status, head.header("content-length")) == (200, str(len(whole.body)))
    tag = whole.header("etag") or ""
    same = await get(gateway, target, "HEAD", If_None_Match=tag)
    assert (same.status, carried(same)) == (304, carried(whole))


async def test_compressed_or_not_it_is_one_tag_and_vary_says_so(core: StubCore) -> None:
    """Weak: what was stored in one coding is still good for who now asks for another."""
    async with running_gateway(core, COMPRESS_MIN_SIZE="10B") as gateway:
        answers(gateway, RECORD)
        plain = await get(gateway, DOCUMENT, Accept_Encoding="identity")
        zipped = await get(gateway, DOCUMENT, Accept_Encoding="gzip")
        assert zipped.header("content-encoding") == "gzip"
        assert carried(zipped) == carried(plain)
        same = await get(
            gateway, DOCUMENT, Accept_Encoding="gzip", If_None_Match=plain.header("etag") or ""
        )
    assert (same.status, same.header("content-encoding")) == (304, None)
    assert carried(same) == carried(plain)
    assert "Accept-Encoding" in (same.header("vary") or "")


async def test_no_304_before_the_caller_is_known_and_allowed(gateway: Gateway) -> None:
    """``*`` is true of whatever there is: 401, 403 and 404 stay what they are, and no cache keeps
    them."""
    answers(gateway, RECORD)
    star = {"If-None-Match": "*"}
    nobody = await exchange(gateway.address, request("GET", DOCUMENT, star))
    denied = await get(gateway, f"{DOCUMENT}?owner=bob", If_None_Match="*")
    gateway.core.script = knows_nothing
    missing = await get(gateway, DOCUMENT, If_None_Match="*")
    assert [one.status for one in (nobody, denied, missing)] == [401, 403, 404]
    for one in (nobody, denied, missing):
        assert one.header("etag") is None
        assert one.header("cache-control") == "no-store"


async def test_other_routes_have_no_tag(gateway: Gateway) -> None:
    """Who is logged in, and which keys there are, is kept nowhere."""
    for target in ("/api/v1/auth/me", "/api/v1/keys"):
        answer = await get(gateway, target, If_None_Match="*")
        assert (answer.status, answer.header("etag")) == (200, None)
        assert answer.header("cache-control") == "no-store"


async def test_a_page_may_ask_with_a_tag_and_read_it(core: StubCore) -> None:
    """CORS: ``If-None-Match`` may be sent, ``ETag`` be read, of a 304 too."""
    here = "https://app.example.com"
    async with running_gateway(core, CORS_ORIGINS=here) as gateway:
        answers(gateway, RECORD)
        asks = {"Origin": here, "Access-Control-Request-Method": "GET"}
        asks["Access-Control-Request-Headers"] = "authorization,if-none-match"
        preflight = await exchange(gateway.address, request("OPTIONS", DOCUMENT, asks))
        whole = await get(gateway, DOCUMENT, Origin=here)
        tag = whole.header("etag") or ""
        same = await get(gateway, DOCUMENT, Origin=here, If_None_Match=tag)
    assert "if-none-match" in (preflight.header("access-control-allow-headers") or "")
    assert same.status == 304
    for one in (whole, same):
        assert one.header("access-control-allow-origin") == here
        assert "ETag" in (one.header("access-control-expose-headers") or "")
    assert carried(same) == carried(whole)
