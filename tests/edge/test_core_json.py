"""JSON of a core's that nobody can read, at every place where the gateway reads some.

It is the core's fault and said to be: never an ``INTERNAL``, and nothing before it is lost.
"""

from __future__ import annotations

import json

import pytest

from gateway.domain.sse import CONNECTED
from gateway.flows.json_answer import _DECODERS

from .conftest import Gateway
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, chunk

DEEP = b"[" * 1100 + b"]" * 1100
UNREADABLE = {
    "deep": DEEP,
    "deep in a field nobody knows": b'{"more":%b}' % DEEP,
    "deep where a list stands": b"[%b]" % DEEP,
    "deep and not closed": b"[" * 100_000,
    "no JSON": b"{",
}
DOCUMENT = "/api/v1/documents/0190a5e8-0000-7000-8000-000000000001"


def json_answer(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


async def ask(gateway: Gateway, *, stream: bool) -> tuple[int, bytes]:
    answer = await gateway.client.post(
        "/api/v1/query",
        json={"query": "hi", "stream": stream},
        headers=await gateway.bearer(),
    )
    return answer.status_code, answer.content


def code_of(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_an_error_event_nobody_can_read_comes_behind_what_came_before_it(
    gateway: Gateway, data: bytes
) -> None:
    """In one read with whole events: they are the client's, and then the terminal event."""
    bad = b"event: error\ndata: %b\n\n" % data
    gateway.core.sends(STREAM_HEAD + chunk(META + TOKEN + bad) + END)
    status, body = await ask(gateway, stream=True)
    events, terminal = body.split(b"event: error\ndata: ")
    assert (status, events) == (200, CONNECTED + META + TOKEN)
    assert code_of(terminal) == "CORE_PROTOCOL_ERROR"


@pytest.mark.parametrize("name", [*_DECODERS, "error"])
@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_an_event_nobody_can_read_makes_a_json_answer_a_502(
    gateway: Gateway, name: str, data: bytes
) -> None:
    """Whichever event it is."""
    bad = b"event: %b\ndata: %b\n\n" % (name.encode(), data)
    gateway.core.sends(STREAM_HEAD + chunk(META + bad + DONE) + END)
    status, body = await ask(gateway, stream=False)
    assert (status, code_of(body)) == (502, "CORE_PROTOCOL_ERROR")


@pytest.mark.parametrize("status", [b"400 Bad", b"404 Not Found", b"422 Bad"])
@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_refusal_nobody_can_read_is_a_502(
    gateway: Gateway, status: bytes, data: bytes
) -> None:
    """A refused question's body is read for its code alone."""
    gateway.core.sends(json_answer(status, data))
    answered, body = await ask(gateway, stream=True)
    assert (answered, code_of(body)) == (502, "CORE_PROTOCOL_ERROR")


@pytest.mark.parametrize("path", ["/api/v1/documents", DOCUMENT])
@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_record_nobody_can_read_is_a_502(gateway: Gateway, path: str, data: bytes) -> None:
    """One document's, and a listing's."""
    gateway.core.sends(json_answer(b"200 OK", data))
    answer = await gateway.client.get(path, headers=await gateway.bearer())
    assert (answer.status_code, code_of(answer.content)) == (502, "CORE_PROTOCOL_ERROR")
