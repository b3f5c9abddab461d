"""HEAD is answered wherever GET is, with the same head (RFC 9110, 9.3.2), by raw sockets."""

from __future__ import annotations

import asyncio
import re

import pytest

from gateway.edge.http.routes import endpoints

from .conftest import Gateway
from .raw import TIMEOUT_S, Answer, exchange, read_answer, request

DOCUMENT = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
JSON = {"Content-Type": "application/json"}
ANNOUNCED = b'{"filename": "a.txt", "content_type": "text/plain", "size": 5}'


def get_targets(gateway: Gateway) -> list[str]:
    """Every path that GET has, with an id that names nothing."""
    paths = [path for method, path, _ in endpoints(gateway.app) if method == "GET"]
    return [re.sub(r"<[a-z_]+:str>", DOCUMENT, path) for path in paths]


async def all_of_it(gateway: Gateway, data: bytes) -> tuple[Answer, bytes]:
    """The head that answers ``data``, and all bytes behind it until the connection closes."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    async with asyncio.timeout(TIMEOUT_S):
        writer.write(data)
        answer = await read_answer(reader, head_only=True)
        rest = await reader.read()
    writer.close()
    return answer, rest


def told(answer: Answer) -> list[tuple[str, str]]:
    """The headers that two answers to the same request have in common."""
    own = {"x-request-id", "connection"}
    return sorted(pair for pair in answer.headers if pair[0] not in own)


async def assert_same_head(gateway: Gateway, target: str, headers: dict[str, str]) -> int:
    """HEAD's answer is GET's without its body, and the bytes behind it are the next answer's."""
    got = await exchange(gateway.address, request("GET", target, headers))
    asked = {**headers, "Connection": "close"}
    head, rest = await all_of_it(gateway, request("HEAD", target, asked))
    assert rest == b"", target
    assert (head.status, told(head)) == (got.status, told(got)), target
    assert head.header("content-length") == str(len(got.body)), target
    return head.status


@pytest.mark.parametrize("name", ["alice", None])
async def test_head_is_the_head_of_get_on_every_route(gateway: Gateway, name: str | None) -> None:
    """Public ones, listings, single documents, good answers and refusals; gzipped ones too."""
    headers = {**(await gateway.bearer(name) if name else {}), "Accept-Encoding": "gzip"}
    targets = [*get_targets(gateway), "/nothing/here", "/api/v1/documents?limit=101"]
    statuses = {
        target: await assert_same_head(gateway, target, headers) for target in sorted(targets)
    }
    assert {"/healthz", "/readyz", "/docs", "/openapi.json"} <= {
        target for target, status in statuses.items() if status == 200
    }
    assert statuses["/api/v1/auth/me"] == (200 if name else 401)
    assert statuses["/nothing/here"] == 404


async def test_head_of_one_document(gateway: Gateway) -> None:
    """One that exists, whose GET is 200."""
    bearer = await gateway.bearer()
    post = request("POST", "/api/v1/documents", {**JSON, **bearer}, ANNOUNCED)
    document_id = (await exchange(gateway.address, post)).json()["document_id"]
    target = f"/api/v1/documents/{document_id}"
    assert await assert_same_head(gateway, target, bearer) == 200


async def test_the_next_request_on_the_connection_is_read(gateway: Gateway) -> None:
    """No byte of a body stands between the two answers, after a refusal neither."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    for target in ("/healthz", "/nothing", "/api/v1/auth/me", "/api/v1/query"):
        writer.write(request("HEAD", target) + request("GET", "/healthz"))
        async with asyncio.timeout(TIMEOUT_S):
            head = await read_answer(reader, head_only=True)
            alive = await read_answer(reader)
        assert int(head.header("content-length") or 0) > 0
        assert (alive.status, alive.json()) == (200, {"status": "ok"})
    writer.close()


async def test_head_to_http_1_0_has_no_body(gateway: Gateway) -> None:
    """Old monitors ask so."""
    data = request("HEAD", "/healthz").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    head, rest = await all_of_it(gateway, data)
    assert (head.status, rest) == (200, b"")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", 400),
        (b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nX: \x00", 400),
        (b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\n\r\n", 417),
        (b"HEAD /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"HEAD /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"HEAD /healthz HTTP/1.1\r\n" + b"X: aaaaaaaaaa\r\n" * 2000, 431),
        (b"\r\nHEAD /healthz HTTP/1.1\r\n\r\n", 400),
    ],
)
async def test_a_head_that_cannot_be_read_is_refused_without_a_body(
    gateway: Gateway, data: bytes, status: int
) -> None:
    """Its method stands in the first bytes, whatever is wrong behind them."""
    refused, rest = await all_of_it(gateway, data)
    assert (refused.status, rest) == (status, b"")
    assert refused.header("connection") == "close"
