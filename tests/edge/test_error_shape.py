"""One error shape on every way out, with one request id in header, body and towards the core."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from gateway.domain.ids import is_request_id, is_uuid7
from gateway.errors import StorageUnavailable

from .conftest import Gateway
from .raw import assert_error_shape, exchange, read_answer, request
from .stub_core import META, STREAM_HEAD, TOKEN, chunk

CANARY = "canary-5f0c"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("GET", "/nothing"), 404),
        (request("GET", "/"), 404),
        (request("GET", "/favicon.ico"), 404),
        (request("DELETE", "/healthz"), 405),
        (request("BREW", "/healthz"), 501),
        (request("GET", "/api/v1/documents"), 401),
        (request("POST", "/auth/login", {}, b"{}"), 415),
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
        (request("GET", "/healthz", {"X": "a" * 20_000}), 431),
        (request("POST", "/auth/login", {**JSON, "Content-Length": "99999999"}), 413),
        (request("POST", "/auth/login", {"Expect": "more"}, b"{}"), 417),
    ],
    ids=lambda value: value[:24].decode("latin-1") if isinstance(value, bytes) else str(value),
)
async def test_every_refusal_has_the_one_shape(gateway: Gateway, data: bytes, status: int) -> None:
    """Routes, methods, faults at the wire: each refusal has the same shape and names no server."""
    answer = await exchange(gateway.address, data)
    assert answer.status == status
    assert_error_shape(answer)
    assert is_uuid7(answer.header("x-request-id") or "")


async def test_an_unforeseen_exception_is_a_500_that_tells_nothing(gateway: Gateway) -> None:
    """What an exception says is for the log alone; the client learns the request id."""

    async def explode(*_: object) -> None:
        raise RuntimeError(f"the password is {CANARY}")

    gateway.workflows.list_open = explode  # type: ignore[method-assign,assignment]
    headers = await gateway.bearer()
    answer = await exchange(gateway.address, request("GET", "/api/v1/documents", headers))
    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert_error_shape(answer)
    assert CANARY not in answer.body.decode()


async def test_an_unforeseen_exception_in_middleware_is_the_same_500(gateway: Gateway) -> None:
    """A fault of the pipeline's own is rendered as one of a handler's."""

    def explode(_: str) -> None:
        raise RuntimeError(CANARY)

    headers = await gateway.bearer()
    gateway.users.get = explode  # type: ignore[method-assign,assignment]
    answer = await exchange(gateway.address, request("GET", "/api/v1/auth/me", headers))
    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert_error_shape(answer)
    assert CANARY not in answer.body.decode()


async def test_a_dependencys_text_never_leaves(gateway: Gateway) -> None:
    """The cause of a 503 stays inside; the answer says when to try again."""

    async def fail(*_: object) -> None:
        raise StorageUnavailable from RuntimeError(f"bucket {CANARY}")

    gateway.keys.list = fail  # type: ignore[method-assign,assignment]
    headers = await gateway.bearer()
    answer = await exchange(gateway.address, request("GET", "/api/v1/keys", headers))
    assert (answer.status, answer.code) == (503, "STORAGE_UNAVAILABLE")
    assert_error_shape(answer)
    assert int(answer.header("retry-after") or 0) > 0
    assert CANARY not in answer.body.decode()


async def test_a_mid_stream_error_has_the_shape_and_the_headers_id(gateway: Gateway) -> None:
    """After the head went out the same object travels as the terminal ``error`` event."""
    gateway.core.sends(STREAM_HEAD, chunk(META), chunk(TOKEN))
    response = await gateway.client.post(
        "/api/v1/query", json={"query": "hi"}, headers=await gateway.bearer()
    )
    assert response.status_code == 200
    event, data = response.text.rstrip("\n").rsplit("\n\n", 1)[1].split("\n")
    told = json.loads(data.removeprefix("data: "))["error"]
    assert event == "event: error"
    assert told.keys() == {"code", "message", "details"}
    assert told["details"] == {"request_id": response.headers["x-request-id"]}


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 64])
async def test_a_good_request_id_is_taken_over(gateway: Gateway, given: str) -> None:
    """1 to 64 of ``[A-Za-z0-9._-]`` comes back in the header and in the error."""
    answer = await exchange(gateway.address, request("GET", "/nothing", {"X-Request-ID": given}))
    assert answer.header("x-request-id") == given
    assert_error_shape(answer)


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a/b", "é", "a\tb", "<b>", "a,b"])
async def test_a_bad_request_id_is_replaced(gateway: Gateway, given: str) -> None:
    """Any other is dropped for a fresh one, and is reflected nowhere."""
    answer = await exchange(gateway.address, request("GET", "/nothing", {"X-Request-ID": given}))
    assert is_uuid7(answer.header("x-request-id") or "")
    assert_error_shape(answer)


async def test_two_request_ids_are_replaced_by_one(gateway: Gateway) -> None:
    """Two different ids: neither is taken over."""
    twice = [("X-Request-ID", "one"), ("X-Request-ID", "two")]
    answer = await exchange(gateway.address, request("GET", "/nothing", twice))
    assert is_uuid7(answer.header("x-request-id") or "")


@pytest.mark.parametrize("separator", ["\n", "\r", "\0"])
async def test_a_line_feed_in_a_request_id_splits_no_header(
    gateway: Gateway, separator: str
) -> None:
    """A value that smuggles a line never comes back as a header of ours."""
    given = f"a{separator}Set-Cookie: stolen=1"
    answer = await exchange(gateway.address, request("GET", "/nothing", {"X-Request-ID": given}))
    assert "set-cookie" not in {name for name, _ in answer.headers}
    assert is_request_id(answer.header("x-request-id") or "")


async def test_the_request_id_goes_on_to_the_core(gateway: Gateway) -> None:
    """One id from the client to the core, or the fresh one when the client's was bad."""
    for given, forwarded in (("mine-1", "mine-1"), ("not mine", None)):
        response = await gateway.client.post(
            "/api/v1/query",
            json={"query": "hi"},
            headers={**await gateway.bearer(), "X-Request-ID": given},
        )
        sent = re.search(r"(?i)\r\nx-request-id: ([^\r]*)\r\n", gateway.core.heads[-1])
        assert sent is not None
        assert sent[1] == response.headers["x-request-id"]
        assert forwarded is None or sent[1] == forwarded


async def test_requests_on_one_connection_have_ids_of_their_own(gateway: Gateway) -> None:
    """Nothing of one request is kept for the next one on its connection."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("GET", "/healthz", {"X-Request-ID": "first"}) + request("GET", "/healthz"))
    first, second = await read_answer(reader), await read_answer(reader)
    writer.close()
    assert first.header("x-request-id") == "first"
    assert is_uuid7(second.header("x-request-id") or "")


async def test_every_answer_forbids_sniffing_and_storing(gateway: Gateway) -> None:
    """Answers hold people's data: no cache keeps them, no browser guesses their type."""
    for target in ("/healthz", "/nothing", "/openapi.json", "/docs"):
        answer = await exchange(gateway.address, request("GET", target))
        assert answer.header("x-content-type-options") == "nosniff"
        assert "no-store" in (answer.header("cache-control") or "")
        assert answer.header("server") is None
