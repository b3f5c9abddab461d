"""Methods and framing by RFC 9110 and 9112, over raw sockets.

HEAD is answered wherever GET is, with the same head; a method that no route has is 501 everywhere,
one that only this path lacks is 405 with ``Allow``; ``OPTIONS *`` tells what there is.
"""

from __future__ import annotations

import asyncio
import logging
import re

import pytest

from gateway.edge.http.routes import endpoints

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, Answer, exchange, read_answer, request
from .stub_core import StubCore

DOCUMENT = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
JSON = {"Content-Type": "application/json"}
ANNOUNCED = b'{"filename": "a.txt", "content_type": "text/plain", "size": 5}'


def get_targets(gateway: Gateway) -> list[str]:
    """Every path that GET has, with an id that names nothing."""
    paths = [path for method, path, _ in endpoints(gateway.app) if method == "GET"]
    return [re.sub(r"<[a-z_]+:[a-z]+>", DOCUMENT, path) for path in paths]


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
    # How long a stream is nobody knows before its end.
    length = None if got.header("transfer-encoding") else str(len(got.body))
    assert head.header("content-length") == length, target
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


# --- every method on every kind of path --------------------------------------------------------

NOT_ALLOWED, UNKNOWN, NOWHERE = 405, 501, 404
NOBODY = 401
# What each kind of path answers without a credential, and the methods it takes.
KINDS: dict[str, tuple[str, dict[str, int], str]] = {
    "public": ("/healthz", {"GET": 200, "HEAD": 200}, "GET, HEAD"),
    "login": ("/auth/login", {"POST": 415}, "POST"),
    "list": (
        "/api/v1/documents",
        {"GET": NOBODY, "HEAD": NOBODY, "POST": NOBODY},
        "GET, HEAD, POST",
    ),
    "one": (
        f"/api/v1/documents/{DOCUMENT}",
        {"GET": NOBODY, "HEAD": NOBODY, "DELETE": NOBODY},
        "DELETE, GET, HEAD",
    ),
    "act": (f"/api/v1/documents/{DOCUMENT}/complete", {"POST": NOBODY}, "POST"),
    "question": ("/api/v1/query", {"POST": NOBODY}, "POST"),
}
SOMEWHERE = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")
TABLE = [
    (method, target, answers.get(method, NOT_ALLOWED), None if method in answers else allow)
    for target, answers, allow in KINDS.values()
    for method in SOMEWHERE
]
TABLE += [(method, "/nothing/here", NOWHERE, None) for method in SOMEWHERE]
TABLE += [
    (method, target, UNKNOWN, None)
    for target in (*(target for target, _, _ in KINDS.values()), "/nothing/here")
    for method in ("PUT", "PATCH", "TRACE", "BREW", "get", "NONE", "PROPFIND")
]
TABLE += [
    ("OPTIONS", "*", 204, "DELETE, GET, HEAD, OPTIONS, POST"),
    ("OPTIONS", "http://gateway.test", 204, "DELETE, GET, HEAD, OPTIONS, POST"),
    ("OPTIONS", "http://gateway.test/", NOT_ALLOWED, "GET, HEAD"),
]


@pytest.mark.parametrize(("method", "target", "status", "allow"), TABLE)
async def test_each_method_on_each_kind_of_path(
    gateway: Gateway, method: str, target: str, status: int, allow: str | None
) -> None:
    """Status and ``Allow`` by one table; the next request of the connection is read."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request(method, target) + request("GET", "/healthz"))
    async with asyncio.timeout(TIMEOUT_S):
        answer = await read_answer(reader, head_only=method == "HEAD")
        behind = await read_answer(reader)
    writer.close()
    assert (answer.status, answer.header("allow")) == (status, allow)
    assert behind.json() == {"status": "ok"}
    codes = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 501: "NOT_IMPLEMENTED"}
    if answer.body and status in codes:
        assert answer.code == codes[status]


@pytest.mark.parametrize("framing", [{"Content-Length": "5"}, {"Transfer-Encoding": "chunked"}])
@pytest.mark.parametrize("target", ["*", "/api/v1/query"])
async def test_a_body_that_options_brings_is_dropped_and_not_worth_a_word(
    core: StubCore, caplog: pytest.LogCaptureFixture, target: str, framing: dict[str, str]
) -> None:
    """Anybody may send one: each was an error in the log."""
    page = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
    asked = request("OPTIONS", target, framing if target == "*" else {**page, **framing})
    asked += b"hello" if "Content-Length" in framing else b"5\r\nhello\r\n0\r\n\r\n"
    async with running_gateway(core, CORS_ORIGINS=page["Origin"]) as gateway:
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(asked + request("GET", "/healthz"))
        async with asyncio.timeout(TIMEOUT_S):
            statuses = [(await read_answer(reader)).status for _ in range(2)]
        writer.close()
    assert statuses == [204, 200]
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "BREW"])
async def test_only_options_asks_about_the_whole_server(gateway: Gateway, method: str) -> None:
    """RFC 9112, 3.2.4: with another method the target is malformed."""
    assert (await exchange(gateway.address, request(method, "*"))).status == 400


# --- trailers and transfer codings -------------------------------------------------------------


def chunked(target: str, headers: dict[str, str], body: bytes) -> bytes:
    framed = {**JSON, "Transfer-Encoding": "chunked", **headers}
    return request("POST", target, framed) + body


LOGIN = b'{"username": "alice", "password": "wrong"}'
LOGIN_CHUNK = b"%x\r\n%b\r\n0\r\n" % (len(LOGIN), LOGIN)


async def test_trailers_are_dropped_and_the_next_request_is_read(gateway: Gateway) -> None:
    """Also when they come a byte at a time, and whatever their names promise."""
    trailers = b"X-Checksum: 9\r\nContent-Length: 7\r\nTransfer-Encoding: gzip\r\n\r\n"
    data = chunked("/auth/login", {"Trailer": "X-Checksum"}, LOGIN_CHUNK + trailers)
    reader, writer = await asyncio.open_connection(*gateway.address)
    async with asyncio.timeout(TIMEOUT_S):
        writer.write(data + request("GET", "/healthz"))
        answers = [await read_answer(reader), await read_answer(reader)]
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await writer.drain()
        answers.append(await read_answer(reader))
    writer.close()
    assert [answer.status for answer in answers] == [401, 200, 401]
    assert {answers[0].code, answers[2].code} == {"INVALID_CREDENTIALS"}


async def test_a_credential_in_a_trailer_is_none(gateway: Gateway) -> None:
    """RFC 9110, 6.5.1: what decides about a request stands in its head."""
    token = (await gateway.token()).encode()
    trailers = b"Authorization: Bearer %b\r\n\r\n" % token
    data = chunked("/api/v1/query", {}, b"2\r\n{}\r\n0\r\n" + trailers)
    answer = await exchange(gateway.address, data)
    assert (answer.status, answer.code) == (401, "UNAUTHENTICATED")


async def test_trailers_without_end_are_refused_at_their_limit(gateway: Gateway) -> None:
    """The connection ends; not a byte behind them is read as a request."""
    endless = b"X: y\r\n" * 2000
    data = chunked("/auth/login", {}, LOGIN_CHUNK + endless)
    answer, rest = await all_of_it(gateway, data)
    assert (answer.status, answer.header("connection")) == (400, "close")
    assert rest.count(b"HTTP/1.1") == 0


async def test_a_coding_that_is_not_known_is_501(gateway: Gateway) -> None:
    """And ends the connection; ``TE``, a wish for the answer, is none of it."""
    for codings in ("gzip, chunked", "identity, chunked", "deflate,gzip,chunked"):
        data = chunked("/auth/login", {"Transfer-Encoding": codings}, LOGIN_CHUNK + b"\r\n")
        answer = await exchange(gateway.address, data)
        assert (answer.status, answer.code) == (501, "NOT_IMPLEMENTED")
        assert answer.header("connection") == "close"
    wish = request("GET", "/healthz", {"TE": "gzip, chunked", "Connection": "TE"})
    assert (await exchange(gateway.address, wish)).status == 200


# --- Expect: 100-continue ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "length", "status"),
    [
        ("POST", "/nothing/here", 9, 404),
        ("POST", "/healthz", 9, 405),
        ("PUT", "/healthz", 9, 501),
        ("POST", "/auth/login", 2 * 1024 * 1024, 413),
    ],
)
async def test_a_client_that_waits_for_100_gets_the_refusal_at_once(
    gateway: Gateway, method: str, target: str, length: int, status: int
) -> None:
    """The head decides it: no 100 goes out, no body is waited for, the connection ends."""
    wait = {**JSON, "Content-Length": str(length), "Expect": "100-continue"}
    reader, writer = await asyncio.open_connection(*gateway.address)
    async with asyncio.timeout(TIMEOUT_S):
        writer.write(request(method, target, wait))
        first = await reader.readuntil(b"\r\n\r\n")
        await reader.read()
    writer.close()
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in first.lower()
