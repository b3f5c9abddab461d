"""A core's ``error`` event: in whatever piece it comes, it is replaced, and ends the stream."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import pytest

from gateway.domain.sse import CONNECTED
from gateway.domain.stream import CORE_MAY_SAY
from gateway.errors import by_code

from .conftest import Gateway
from .raw import TIMEOUT_S
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, chunk

ERROR = b'event: error\ndata: {"error":{"code":"%b","message":"secret","details":{}}}\n\n'
LENGTH_HEAD = STREAM_HEAD.replace(b"Transfer-Encoding: chunked", b"Content-Length: 100000")
CLOSE_HEAD = STREAM_HEAD.replace(b"Transfer-Encoding: chunked", b"Connection: close")


@pytest.fixture(params=["written below", "sent"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways a stream can be relayed: below Sanic's ``send``, and through it."""
    if request.param == "sent":
        monkeypatch.setattr("gateway.edge.http.event_streams.can_write_below", lambda _: False)
    return str(request.param)


def crlf(events: bytes) -> bytes:
    return events.replace(b"\n", b"\r\n")


def cr(events: bytes) -> bytes:
    return events.replace(b"\n", b"\r")


@dataclass(frozen=True)
class Shape:
    """How the core sends: its head, its lines' ends, and what one read is to bring."""

    head: bytes
    read: bytes
    lines: bytes = b"\n"
    passes: bytes = b""

    def spelled(self, events: bytes) -> bytes:
        """Events that come before, in this shape."""
        framed = chunk if self.head is STREAM_HEAD else bytes
        return framed(events.replace(b"\n", self.lines))


BOOM = ERROR % b"BOOM"
LONG = ERROR.replace(b"secret", b"secret" * 1000) % b"BOOM"
SHAPES = {
    "a chunk of its own": Shape(STREAM_HEAD, chunk(BOOM)),
    "a chunk of its own, and the last one": Shape(STREAM_HEAD, chunk(BOOM) + END),
    "a chunk longer than usual": Shape(STREAM_HEAD, chunk(LONG)),
    "a size with zeros": Shape(STREAM_HEAD, b"000" + chunk(BOOM)),
    "behind an event in its chunk": Shape(STREAM_HEAD, chunk(TOKEN + BOOM), passes=TOKEN),
    "behind a chunk in its read": Shape(STREAM_HEAD, chunk(TOKEN) + chunk(BOOM), passes=TOKEN),
    "before events in its chunk": Shape(STREAM_HEAD, chunk(BOOM + TOKEN + DONE)),
    "before a chunk in its read": Shape(STREAM_HEAD, chunk(BOOM) + chunk(TOKEN + DONE) + END),
    "in CR LF": Shape(STREAM_HEAD, chunk(crlf(BOOM)), b"\r\n"),
    "in CR": Shape(STREAM_HEAD, chunk(cr(BOOM)), b"\r"),
    "in three lines": Shape(STREAM_HEAD, chunk(BOOM.replace(b"data", b"id: 7\ndata"))),
    "without blanks": Shape(STREAM_HEAD, chunk(BOOM.replace(b": ", b":", 2))),
    "data first": Shape(STREAM_HEAD, chunk(b'data: {"error":"secret"}\nevent: error\n\n')),
    "a counted body": Shape(LENGTH_HEAD, BOOM),
    "a body until close": Shape(CLOSE_HEAD, BOOM),
    "a body until close, behind an event": Shape(CLOSE_HEAD, TOKEN + BOOM, passes=TOKEN),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
async def test_an_error_event_in_a_read_of_its_own_is_replaced_and_ends_the_stream(
    gateway: Gateway, shape: Shape
) -> None:
    """The client has all before it by then: nothing but this event decides what the read is."""
    seen = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(shape.head + shape.spelled(META) + shape.spelled(TOKEN))
        await seen.wait()
        writer.write(shape.read)
        await reader.read()  # the gateway leaves, however much more might come

    gateway.core.script = script
    streaming = await gateway.asking()
    before = (META + TOKEN).replace(b"\n", shape.lines)
    assert await streaming.until(before) == CONNECTED + before
    seen.set()
    passed, terminal = (await streaming.rest()).split(b"event: error\ndata: ")
    assert passed == shape.passes
    assert b"secret" not in terminal
    assert json.loads(terminal)["error"]["code"] == "CORE_PROTOCOL_ERROR"
    async with asyncio.timeout(TIMEOUT_S):
        await gateway.core.closed.wait()
    streaming.writer.close()


async def test_a_core_can_make_the_gateway_say_its_own_codes_alone(gateway: Gateway) -> None:
    """With JSON the code has a status: no 401 with a good login, no 405 without ``Allow``."""
    bearer = await gateway.bearer()
    for code in {*by_code(), "BOOM"}:
        await assert_told(gateway, code, bearer)


async def assert_told(gateway: Gateway, code: str, bearer: dict[str, str]) -> None:
    gateway.core.sends(STREAM_HEAD + chunk(META + ERROR % code.encode()) + END)
    told = CORE_MAY_SAY.get(code, CORE_MAY_SAY["CORE_PROTOCOL_ERROR"])
    answers = [
        await gateway.client.post(
            "/api/v1/query",
            json={"query": "hi", "stream": stream},
            headers=bearer,
        )
        for stream in (False, True)
    ]
    assert answers[0].status_code == told.status
    assert "www-authenticate" not in answers[0].headers
    assert answers[0].json()["error"]["code"] == told.code
    assert f'"code":"{told.code}"'.encode() in answers[1].content


LAST_LINES = {
    "LF": META + TOKEN + DONE,
    "CR LF": crlf(META + TOKEN + DONE),
    "CR": cr(META + TOKEN + DONE),
    "LF, then a lone CR": META + TOKEN + DONE[:-1] + b"\r",
    "CR LF, then a lone CR": crlf(META + TOKEN + DONE)[:-1],
    "a lone CR, and more behind it": META + TOKEN + DONE[:-1] + b"\r" + TOKEN,
    "lone CRs all through": (META + TOKEN + DONE).replace(b"\n\n", b"\n\r"),
}


@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("sent", LAST_LINES.values(), ids=LAST_LINES.keys())
async def test_the_json_answer_and_the_stream_agree_on_the_end(
    gateway: Gateway, sent: bytes, split: bool
) -> None:
    """However the last blank line ends."""
    pieces = [sent[at : at + 1] for at in range(len(sent))] if split else [sent]
    gateway.core.sends(STREAM_HEAD + b"".join(map(chunk, pieces)) + END)
    bearer = await gateway.bearer()
    stream, whole = [
        await gateway.client.post(
            "/api/v1/query", json={"query": "hi", "stream": stream}, headers=bearer
        )
        for stream in (True, False)
    ]
    assert stream.content == CONNECTED + sent.removesuffix(TOKEN)
    assert (whole.status_code, whole.json().get("answer")) == (200, "hello")
