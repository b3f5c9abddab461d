"""The doors through which a question can be asked, as their clients see them: one class a door.

``DOORS`` is the one table of them. The cases of ``conformance/*.jsonl`` (``test_conformance.py``)
and whatever must be the same everywhere (``test_doors.py``, ``test_doors_served.py``,
``tests/system/test_doors.py``) are asked of each entry; whoever builds another door adds its class.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import grpc
from google.protobuf.json_format import ParseDict, ParseError
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.domain.sse import CONNECTED, SseParser
from gateway.edge.grpc.proto.query_pb2 import Event

from .grpc_client import LITTLE_ROOM, Failure, asking, channel
from .raw import TIMEOUT_S, Where, read_answer, read_chunk, read_head, request
from .served import free_port
from .sockets import PATH, Socket, opened

QUERY = "/api/v1/query"
CHAT = "/api/v1/openai/v1/chat/completions"
# What a client's own kernel takes for it: a slow client is one with little room.
RECEIVE_BYTES = 16 * 1024


def chat_question(query: str) -> dict[str, Any]:
    return {"model": "knowledge-base", "messages": [{"role": "user", "content": query}]}


class Progress:
    """How far a client is, and what a test has it do: leave, or read no more for a while.

    Attributes:
        events: how many it was told; ``blind`` clients are told all at once.
        has_head: whether the head of its answer has come.
        leave: ends its connection.
        rests_at: after so many events it reads nothing until ``go_on`` is set.
    """

    def __init__(self, *, blind: bool = False, rests_at: int | None = None) -> None:
        self.events = 0
        self.blind = blind
        self.has_head = False
        self.leave: Callable[[], object] = lambda: None
        self.rests_at = rests_at
        self.go_on = asyncio.Event()

    async def until(self, events: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not (self.blind or self.events >= events):  # noqa: ASYNC110  (nothing tells)
                await asyncio.sleep(0.002)

    async def may_read(self) -> None:
        if self.rests_at is not None and self.events >= self.rests_at:
            await self.go_on.wait()


@dataclass
class Told:
    """What a client was told: events, and how it ended: ``done``, an error's code, or ``None``.

    ``raw`` is all that came of an answer or its messages; ``status`` is that of a client that was
    told all by one answer; ``error`` is the error's body, in the gateway's shape or the door's.
    """

    events: list[tuple[str, Any]] = field(default_factory=list)
    ends: str | None = None
    raw: bytes = b""
    status: int | None = None
    answer: Any = None
    error: Any = None
    retry_after_s: int | None = None


Credential = Mapping[str, str]


class Door(ABC):
    """What clients of one protocol do.

    Attributes:
        name: as the log and the metrics have it.
        blind: its clients are told nothing before the answer is whole.
    """

    name: ClassVar[str]
    blind: ClassVar[bool] = False

    @abstractmethod
    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        """Asks one question, on a connection of its own, and follows it to its end.

        Args:
            credential: headers that say who asks.
            progress: is kept up, and obeyed.
        """

    @abstractmethod
    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        """Fails where this is not what a case of the conformance files says of this door."""


async def _connected(
    where: Where, progress: Progress
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection with little room if its client is to rest."""
    sock = await small_socket(where) if progress.rests_at is not None else None
    if sock is None:
        reader, writer = await asyncio.open_connection(*where.address, ssl=where.trust)
    else:
        reader, writer = await asyncio.open_connection(sock=sock, limit=RECEIVE_BYTES)
    progress.leave = writer.transport.abort
    return reader, writer


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def small_socket(where: Where) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, where.address)
    return sock


def refused(status: int, body: Any, headers: Mapping[str, str]) -> Told:
    """A refusal by one HTTP answer in the gateway's shape."""
    after = headers.get("retry-after")
    error = body["error"]
    return Told(
        ends=error["code"],
        status=status,
        error=error,
        retry_after_s=None if after is None else int(after),
    )


class _EventStream(Door):
    """A door whose answer is an event stream: what is asked, and how the stream is read."""

    path: ClassVar[str]

    @abstractmethod
    def question(self, query: str) -> dict[str, Any]: ...

    @abstractmethod
    async def _streamed(self, reader: asyncio.StreamReader, progress: Progress) -> Told: ...

    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        reader, writer = await _connected(where, progress)
        typed = {"Content-Type": "application/json", **credential}
        body = json.dumps(self.question(query)).encode()
        try:
            writer.write(request("POST", self.path, typed, body))
            status, pairs = await read_head(reader)
            progress.has_head = True
            headers = dict(pairs)
            if status != 200:
                body = await reader.readexactly(int(headers["content-length"]))
                return refused(status, json.loads(body), headers)
            return await self._streamed(reader, progress)
        except (ConnectionError, asyncio.IncompleteReadError):
            return Told()
        finally:
            await _closed(writer)


class Sse(_EventStream):
    """``POST /api/v1/query``, streamed."""

    name = "sse"
    path = QUERY

    def question(self, query: str) -> dict[str, Any]:
        return {"query": query}

    async def _streamed(self, reader: asyncio.StreamReader, progress: Progress) -> Told:
        told, parser = Told(), SseParser()
        pieces = []
        while piece := await read_chunk(reader):
            pieces.append(piece)
            told.events += [(event.type, event.data) for event in parser.feed(piece)]
            progress.events = len(told.events)
            await progress.may_read()
        told.raw = b"".join(pieces)
        told.events += [(event.type, event.data) for event in parser.finish()]
        assert told.events, told.raw
        name = told.events[-1][0]
        if name == "error":
            told.error = json.loads(told.events.pop()[1])["error"]
        told.ends = told.error["code"] if told.error else name
        return told

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        if expected.get("early"):
            assert told.status == expected["status"], where
            return
        if expected["ends"] is None:
            return
        assert told.events == [tuple(event) for event in expected["events"]], where
        passed = CONNECTED + expected["bytes"].encode()
        assert told.raw.startswith(passed), where
        tail = told.raw[len(passed) :]
        if expected["ends"] == "done":
            assert tail == b"", where
        else:
            assert tail.startswith(b"event: error\ndata: "), where
            assert (tail[-2:], tail.count(b"\n")) == (b"\n\n", 3), where


class Json(Door):
    """``POST /api/v1/query`` with ``"stream": false``; what came so far nobody sees."""

    name = "json"
    blind = True
    path = QUERY

    def question(self, query: str) -> dict[str, Any]:
        return {"query": query, "stream": False}

    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        progress.blind = progress.has_head = True
        reader, writer = await _connected(where, progress)
        typed = {"Content-Type": "application/json", **credential}
        body = json.dumps(self.question(query)).encode()
        try:
            writer.write(request("POST", self.path, typed, body))
            await progress.may_read()
            answer = await read_answer(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            return Told()
        finally:
            await _closed(writer)
        if answer.status != 200:
            return refused(answer.status, answer.json(), dict(answer.headers))
        return Told(ends="done", status=200, answer=answer.json(), raw=answer.body)

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        if expected["ends"] == "done":
            assert (told.status, told.answer) == (200, expected["answer"]), where
        elif expected["ends"] is not None:
            assert told.status == expected["status"], where


class WebSocket(Door):
    """``GET /api/v1/query/ws``: one question on a socket of its own."""

    name = "ws"
    path = PATH

    def question(self, query: str) -> dict[str, Any]:
        return {"query": query}

    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        progress.has_head = True  # the socket's own, which there was before the question
        options: dict[str, Any] = {}
        if progress.rests_at is not None:
            options = {"sock": await small_socket(where), "max_queue": 1}
        try:
            async with opened(where, dict(credential), path=self.path, **options) as socket:
                progress.leave = socket.of.transport.abort
                await socket.say(type="ask", id="1", **self.question(query))
                return await self._followed(socket, progress)
        except InvalidStatus as refusal:
            answer = refusal.response
            headers = {name.lower(): text for name, text in answer.headers.raw_items()}
            return refused(answer.status_code, json.loads(answer.body or b""), headers)

    async def _followed(self, socket: Socket, progress: Progress) -> Told:
        told, texts = Told(), []
        while told.ends is None:
            try:
                texts.append(str(await socket.of.recv()))
            except ConnectionClosed as closed:
                told.ends = closed.rcvd.reason if closed.rcvd else None
                break
            message = json.loads(texts[-1])
            if message["event"] == "error":
                told.error = message["data"]["error"]
                told.ends = told.error["code"]
                told.retry_after_s = told.error["details"].get("retry_after_s")
                break
            told.events.append((message["event"], message["data"]))
            progress.events = len(told.events)
            told.ends = "done" if message["event"] == "done" else None
            await progress.may_read()
        told.raw = "".join(texts).encode()
        return told

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        events = [(name, json.loads(data)) for name, data in expected["events"]]
        assert told.events == events, where


class OpenAi(_EventStream):
    """``POST /api/v1/openai/v1/chat/completions`` with ``stream``; see ``test_openai.py``, too."""

    name = "openai"
    path = CHAT

    def question(self, query: str) -> dict[str, Any]:
        return {**chat_question(query), "stream": True}

    async def _streamed(self, reader: asyncio.StreamReader, progress: Progress) -> Told:
        told, parser = Told(), SseParser()
        pieces = []
        while piece := await read_chunk(reader):
            pieces.append(piece)
            told.events += [("chunk", event.data) for event in parser.feed(piece)]
            # The role's chunk is there for ``meta``, then there is one for each token.
            progress.events = len(told.events)
            await progress.may_read()
        told.raw = b"".join(pieces)
        last = told.events.pop()[1]
        if last == "[DONE]":
            told.ends = "done"
        else:
            told.error = json.loads(last)["error"]
            told.ends = told.error["code"]
        return told

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        if expected.get("early"):
            assert told.status == expected["status"], where
        if expected.get("early") or expected["ends"] is None:
            return
        assert told.raw.startswith(CONNECTED), where
        assert told.raw.count(b"[DONE]") == (expected["ends"] == "done"), where
        first, *chunks = [json.loads(data)["choices"][0] for _, data in told.events]
        assert first["delta"]["role"] == "assistant", where
        reasons = [one["finish_reason"] for one in chunks if one["finish_reason"]]
        assert reasons == ["stop"] * (expected["ends"] == "done"), where
        texts = [one["delta"]["content"] for one in chunks if one["delta"].get("content")]
        tokens = [json.loads(data)["text"] for name, data in expected["events"] if name == "token"]
        assert texts == tokens, where
        if told.error is not None:
            assert told.error.keys() == {"code", "message", "details", "type", "param"}, where


class OpenAiWhole(Json):
    """The same without ``stream``: another way through that door, which the cases are asked of."""

    name = "openai"
    path = CHAT

    def question(self, query: str) -> dict[str, Any]:
        return chat_question(query)

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        if expected["ends"] == "done":
            (choice,) = told.answer["choices"]
            assert choice["message"]["content"] == expected["answer"]["answer"], where
            assert choice["finish_reason"] == "stop", where
        elif expected["ends"] is not None:
            assert told.status == expected["status"], where
            assert told.error.keys() == {"code", "message", "details", "type", "param"}, where


MCP = "/mcp"
VERSION = "2026-07-28"


def rpc(method: str, request_id: str | int = 1, **params: Any) -> dict[str, Any]:
    """A JSON-RPC request with all that one of this version must have."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
        **params.pop("_meta", {}),
    }
    return {
        "jsonrpc": "2.0",
        "id": request_id,
        "method": method,
        "params": {**params, "_meta": meta},
    }


def rpc_head(message: Mapping[str, Any]) -> dict[str, str]:
    """What a client's head repeats of its message."""
    head = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": VERSION,
        "Mcp-Method": message["method"],
    }
    if "name" in message["params"]:
        head["Mcp-Name"] = message["params"]["name"]
    return head


class Mcp(Door):
    """``POST /mcp``: the tool ``ask``, whose answer is told as a whole, whatever came before."""

    name = "mcp"
    blind = True

    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        progress.blind = progress.has_head = True
        reader, writer = await _connected(where, progress)
        message = rpc("tools/call", name="ask", arguments={"query": query})
        head = {**rpc_head(message), **credential}
        try:
            writer.write(request("POST", MCP, head, json.dumps(message).encode()))
            await progress.may_read()
            return await self._followed(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            return Told()
        finally:
            writer.close()

    async def _followed(self, reader: asyncio.StreamReader) -> Told:
        status, pairs = await read_head(reader)
        headers = dict(pairs)
        if headers["content-type"].startswith("text/event-stream"):
            raw = b""
            while piece := await read_chunk(reader):
                raw += piece
            assert raw.startswith(CONNECTED), raw
            (event,) = SseParser(limit_bytes=len(raw)).feed(raw)
            return self._told(json.loads(event.data), event.data.encode())
        body = await reader.readexactly(int(headers["content-length"]))
        if status != 200:
            return refused(status, json.loads(body), headers)
        return self._told(json.loads(body), body)

    def _told(self, message: dict[str, Any], raw: bytes) -> Told:
        assert (message["jsonrpc"], message["id"]) == ("2.0", 1), message
        result = message["result"]
        if not result["isError"]:
            found = result["structuredContent"]
            # The text has the answer a second time, in other words.
            return Told(ends="done", answer=found, raw=json.dumps(found).encode())
        error = json.loads(result["content"][0]["text"])["error"]
        after = error["details"].get("retry_after_s")
        return Told(ends=error["code"], error=error, raw=raw, retry_after_s=after)

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        if expected["ends"] == "done":
            assert told.answer == expected["answer"], where
        else:
            assert told.answer is None, where


class Grpc(Door):
    """``knowledge.gateway.v1.QueryService/Ask``: messages of events, and a status at the end."""

    name = "grpc"

    async def ask(
        self, where: Where, credential: Credential, progress: Progress, query: str = "hi"
    ) -> Told:
        told, left = Told(), []
        room = LITTLE_ROOM if progress.rests_at is not None else ()
        async with channel(where, *room) as opened:
            call = asking(opened, credential, query)

            def leave() -> None:
                left.append(True)
                call.cancel()

            progress.leave = leave
            try:
                await self._followed(call, told, progress)
            except asyncio.CancelledError:
                if not left:
                    raise
            except grpc.aio.AioRpcError as error:
                self._ended_badly(Failure.of(error), told)
        told.raw = b"".join(event.SerializeToString() for _, event in told.events)
        return told

    async def _followed(self, call: Any, told: Told, progress: Progress) -> None:
        await call.initial_metadata()
        progress.has_head = True
        async for message in call:
            told.events += [(event.WhichOneof("kind"), event) for event in message.events]
            progress.events = len(told.events)
            await progress.may_read()
        assert told.events, "nothing came, and it is said to be whole"
        told.ends = told.events[-1][0]

    def _ended_badly(self, failure: Failure, told: Told) -> None:
        told.ends, told.retry_after_s = failure.code, failure.retry_after_s
        if failure.code is not None:
            details = dict(failure.facts or {})
            told.error = {"code": failure.code, "message": failure.message, "details": details}

    def check(self, expected: dict[str, Any], told: Told, where: str) -> None:
        assert told.events == [ask_event(*event) for event in expected["events"]], where


def ask_event(name: str, data: str) -> tuple[str, Event]:
    """An event as that door tells it: with its data beside it where that says more."""
    if name not in Event.DESCRIPTOR.fields_by_name or name in ("other", "data"):
        return "other", Event(other={"name": name, "data": data})
    value = json.loads(data)
    shaped = {name: {"passages": value} if name == "sources" else value}
    try:
        return name, ParseDict(shaped, Event())
    except ParseError:
        event = ParseDict(shaped, Event(), ignore_unknown_fields=True)
        event.data = data
        return name, event


DOORS: Mapping[str, Door] = {
    door.name: door for door in (Sse(), Json(), WebSocket(), OpenAi(), Mcp(), Grpc())
}


def all_open() -> dict[str, str]:
    """Settings of a gateway that has all doors: some of them are off by themselves."""
    return {"GRPC_PORT": str(free_port())}


# All the ways in which an answer is told.
WAYS: Mapping[str, Door] = {**DOORS, "openai whole": OpenAiWhole()}
