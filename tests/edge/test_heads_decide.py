"""Who may do what with how much is decided by the head: no refusal waits for a body.

Nothing here is timed. A body that a test never sends is waited for in vain by whoever waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, Answer, assert_error_shape, read_answer, request
from .stub_core import stub_core
from .test_auth_pipeline import api_key

BOTH_LOOPS = True
pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
NOBODY: dict[str, str] = {}
DOCUMENT = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
MIB = 1024 * 1024
QUERY, LOGIN, DOCUMENTS = "/api/v1/query", "/auth/login", "/api/v1/documents"
HEALTH = request("GET", "/healthz")


@dataclass(frozen=True)
class Head:
    """A head whose body is never sent, and what it is answered.

    ``who`` is a user's name, "nobody", or "forged" for a token that nobody gave out.
    """

    name: str
    target: str
    status: int
    headers: dict[str, str]
    who: str = "alice"
    method: str = "POST"
    length: int = 9


DECIDED = [
    Head("no credential", QUERY, 401, JSON, "nobody"),
    Head("no credential and no type", QUERY, 401, NOBODY, "nobody"),
    Head("no credential and far too much", QUERY, 401, JSON, "nobody", length=8 * MIB),
    Head("a forged token", QUERY, 401, JSON, "forged"),
    Head("two credentials", QUERY, 401, {**JSON, "X-API-Key": "kbg_x"}),
    Head("an action that is not his", DOCUMENTS, 403, JSON, "bob"),
    Head("a misspelled id", f"{DOCUMENTS}/{DOCUMENT.upper()}/complete", 404, JSON),
    Head("an unknown path", "/nothing/here", 404, JSON),
    Head("a method the path has not", "/healthz", 405, JSON),
    Head("a method that no route has", "/healthz", 501, JSON, method="PUT"),
    Head("an unknown parameter", f"{QUERY}?a=b", 400, JSON),
    Head("a malformed query string", f"{QUERY}?=%zz", 400, JSON),
    Head("an unknown parameter of a login", f"{LOGIN}?a=b", 400, JSON, "nobody"),
    Head("no type", QUERY, 415, NOBODY),
    Head("another type", QUERY, 415, {"Content-Type": "text/plain"}),
    Head("another charset", QUERY, 415, {"Content-Type": "application/json; charset=latin-1"}),
    Head("a compressed body", QUERY, 415, {**JSON, "Content-Encoding": "gzip"}),
    Head("a form where none is taken", QUERY, 415, FORM),
    Head("a login without a type", LOGIN, 415, NOBODY, "nobody"),
    Head(
        "a body that may be left out, of another type",
        f"{DOCUMENTS}/{DOCUMENT}/complete",
        415,
        FORM,
    ),
    Head("a form without a boundary", DOCUMENTS, 400, {"Content-Type": "multipart/form-data"}),
    Head("a body above its limit", QUERY, 413, JSON, length=MIB + 1),
    Head("a form above its limit", DOCUMENTS, 413, FORM, length=64 * 1024 + 1),
    Head("a login above its limit", LOGIN, 413, JSON, "nobody", length=16 * 1024 + 1),
]
# Where only the length is wrong, chunks tell it only as they come.
FRAMED = [(head, False) for head in DECIDED] + [
    (head, True) for head in DECIDED if head.length < MIB and head.status != 413
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with stub_core() as core, running_gateway(core) as running:
        yield running


async def credential(gateway: Gateway, who: str) -> dict[str, str]:
    if who == "nobody":
        return {}
    return {"Authorization": "Bearer a.b.c"} if who == "forged" else await gateway.bearer(who)


async def begun(gateway: Gateway, head: Head, chunked: bool, **more: str) -> bytes:
    length = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(head.length)}
    headers = {**await credential(gateway, head.who), **head.headers, **length, **more}
    return request(head.method, head.target, headers)


class Talk:
    """A connection, and what comes on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> Answer:
        async with asyncio.timeout(TIMEOUT_S):
            return await read_answer(self.reader)

    async def first_line(self) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.reader.readuntil(b"\r\n")

    async def ends(self) -> bytes:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.reader.read()


@pytest_asyncio.fixture(loop_scope="module")
async def talk(gateway: Gateway) -> AsyncIterator[Talk]:
    talking = Talk(*await asyncio.open_connection(*gateway.address))
    yield talking
    talking.writer.close()


def named(value: object) -> str | None:
    return value.name if isinstance(value, Head) else None


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("head", "chunked"), FRAMED, ids=named)
async def test_what_the_head_decides_waits_for_no_body(
    gateway: Gateway, talk: Talk, head: Head, chunked: bool
) -> None:
    """The refusal comes at once; a body that comes after it is dropped, and the next request read.

    A body that is larger than any that is taken ends the connection, as the refusal says.
    """
    talk.writer.write(await begun(gateway, head, chunked))
    refused = await talk.answer()
    assert refused.status == head.status, refused.body
    assert_error_shape(refused)
    kept = head.length <= MIB and head.status != 413
    assert refused.header("connection") == ("keep-alive" if kept else "close")
    body = b"x" * head.length
    talk.writer.write(b"%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (head.length, body) if chunked else body)
    talk.writer.write(HEALTH)
    if kept:
        assert (await talk.answer()).status == 200
    else:
        assert await talk.ends() == b""


@pytest.mark.parametrize(("head", "chunked"), FRAMED, ids=named)
async def test_a_client_that_asks_first_is_refused_at_once(
    gateway: Gateway, talk: Talk, head: Head, chunked: bool
) -> None:
    """RFC 9110, 10.1.1: the final status in place of a 100, and the connection ends.

    Whether the client sends its body all the same is not known, so nothing behind it is read.
    """
    talk.writer.write(await begun(gateway, head, chunked, Expect="100-continue"))
    assert (await talk.first_line()).startswith(b"HTTP/1.1 %d " % head.status)
    talk.writer.write(HEALTH)
    rest = await talk.ends()
    assert b"\r\nconnection: close\r\n" in rest.lower()
    assert b"HTTP/1.1" not in rest


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_client_that_asks_first_is_told_to_go_on_when_its_body_is_wanted(
    gateway: Gateway, talk: Talk, chunked: bool
) -> None:
    """Only then, and once; what it sends is answered, and the connection goes on."""
    body = b'{"query": "hi", "stream": false}'
    head = Head("a question", QUERY, 200, JSON, length=len(body))
    talk.writer.write(await begun(gateway, head, chunked, Expect="100-continue"))
    assert await talk.first_line() == b"HTTP/1.1 100 Continue\r\n"
    assert await talk.first_line() == b"\r\n"
    framed = b"%x\r\n%b\r\n0\r\nX: y\r\n\r\n" % (len(body), body) if chunked else body
    talk.writer.write(framed + HEALTH)
    assert (await talk.first_line()).startswith(b"HTTP/1.1 200 ")
    talk.writer.write(HEALTH)
    seen = await talk.reader.readuntil(b'{"status":"ok"}')
    assert b"100 Continue" not in seen


async def test_a_client_that_asks_and_does_not_wait_is_answered(
    gateway: Gateway, talk: Talk
) -> None:
    """The whole body came with the head: a 100 would tell nothing, and the connection goes on."""
    body = b'{"query": ""}'
    head = Head("a question", QUERY, 400, JSON, length=len(body))
    talk.writer.write(await begun(gateway, head, False, Expect="100-continue") + body + HEALTH)
    assert (await talk.first_line()).startswith(b"HTTP/1.1 400 ")
    assert b"HTTP/1.1 200 " in await talk.reader.readuntil(b'{"status":"ok"}')


@pytest.mark.parametrize(
    ("method", "target", "length", "status"),
    [("GET", "/healthz", 9, 200), ("POST", LOGIN, 0, 400), ("DELETE", f"{DOCUMENTS}/x", 9, 401)],
)
async def test_a_body_that_nobody_takes_is_not_asked_for(
    gateway: Gateway, talk: Talk, method: str, target: str, length: int, status: int
) -> None:
    """On a route that takes none, or where there is none, the answer comes without a 100."""
    headers = {**JSON, "Content-Length": str(length), "Expect": "100-continue"}
    talk.writer.write(request(method, target, headers))
    assert (await talk.answer()).status == status


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_may_be_left_out_is_left_out(
    gateway: Gateway, talk: Talk, chunked: bool
) -> None:
    """With a length of nought or as no chunk; no type is needed for what is not there."""
    key = await api_key(gateway, "alice", "auth:me")
    key_id = key["X-API-Key"].split("_")[1]
    head = Head("a rotation", f"/api/v1/keys/{key_id}/rotate", 201, NOBODY, length=0)
    talk.writer.write(await begun(gateway, head, chunked) + (b"0\r\n\r\n" if chunked else b""))
    rotated = await talk.answer()
    assert (rotated.status, rotated.header("connection")) == (201, "keep-alive")
    talk.writer.write(await begun(gateway, head, True) + b"2\r\n{}\r\n0\r\n\r\n")
    assert (await talk.answer()).status == 415


async def test_a_get_with_a_body_is_answered_and_so_is_the_next(
    gateway: Gateway, talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody takes the body; it is read to its end, and no error is logged."""
    with caplog.at_level(logging.ERROR, "sanic.error"):
        for framed in (
            request("GET", "/healthz", {"Content-Length": "5"}) + b"hello",
            request("GET", "/healthz", {"Content-Length": "0"}),
            request("GET", "/healthz", {"Transfer-Encoding": "chunked"}) + b"1\r\nx\r\n0\r\n\r\n",
        ):
            talk.writer.write(framed + HEALTH)
            assert [(await talk.answer()).status for _ in range(2)] == [200, 200]
    assert not caplog.records


async def test_http_1_0_is_refused_before_its_body_too(gateway: Gateway, talk: Talk) -> None:
    """A client that goes on sending reads the refusal, and the connection ends."""
    head = Head("no credential", QUERY, 401, JSON, "nobody", length=MIB)
    data = await begun(gateway, head, chunked=False)
    talk.writer.write(data.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    refused = await talk.answer()
    assert (refused.status, refused.header("connection")) == (401, "close")
    talk.writer.write(b"x" * MIB)
    assert await talk.ends() == b""
