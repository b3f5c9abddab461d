"""HTTP/1.1 by hand: what no client library would send, and exactly what came back."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Any, Protocol

# What a test waits at most, however busy the machine is: no speed that is asserted.
TIMEOUT_S = 60.0


class Where(Protocol):
    """A running gateway, as far as clients know it."""

    @property
    def address(self) -> tuple[str, int]: ...

    @property
    def trust(self) -> ssl.SSLContext | None:
        """What clients bring to a gateway that serves HTTPS."""

    @property
    def grpc_port(self) -> int:
        """Where it serves gRPC, at the same address; 0 where it does not."""


@dataclass(frozen=True)
class Answer:
    """One response as it was on the wire; header names in lower case, in order, with repeats."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The one value of a header; a header twice is a failure of its own."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"{name} is there {len(values)} times"
        return values[0] if values else None

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json()["error"]["code"])


def request(
    method: str,
    target: str,
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    body: bytes | None = None,
) -> bytes:
    """The bytes of a well-framed request; nothing in it is checked or quoted."""
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway.test"]
    pairs = headers.items() if isinstance(headers, dict) else headers or []
    lines += [f"{name}: {value}" for name, value in pairs]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines).encode("utf-8", "surrogateescape")
    return head + b"\r\n\r\n" + (body or b"")


async def exchange(
    address: tuple[str, int],
    data: bytes,
    *,
    head_only: bool = False,
    trust: ssl.SSLContext | None = None,
) -> Answer:
    """Sends ``data`` on a connection of its own and reads one response; a HEAD's is a head."""
    head_only = head_only or data.startswith(b"HEAD ")
    reader, writer = await asyncio.open_connection(*address, ssl=trust)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            writer.write(data)
            return await read_answer(reader, head_only=head_only)
    finally:
        writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with a RST, as a process does that dies: no half-close."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def read_answer(reader: asyncio.StreamReader, *, head_only: bool = False) -> Answer:
    status, headers = await read_head(reader)
    if head_only or status in (204, 304):
        return Answer(status, headers, b"")
    known = dict(headers)
    if known.get("transfer-encoding") == "chunked":
        return Answer(status, headers, await _chunked(reader))
    return Answer(status, headers, await reader.readexactly(int(known["content-length"])))


async def read_head(reader: asyncio.StreamReader) -> tuple[int, list[tuple[str, str]]]:
    """The status and the headers of the next response that is not a 1xx."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        status = int(first.split(" ")[1])
        if status >= 200:
            break
    pairs = (line.split(":", 1) for line in lines)
    return status, [(name.lower(), value.strip()) for name, value in pairs]


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while piece := await read_chunk(reader):
        body += piece
    return body


async def read_chunk(reader: asyncio.StreamReader) -> bytes:
    """The next chunk's bytes; empty for the last one."""
    size = int((await reader.readuntil(b"\r\n")).strip(), 16)
    data = await reader.readexactly(size)
    assert await reader.readexactly(2) == b"\r\n"
    return data


def assert_error_shape(answer: Answer) -> None:
    """The one shape (contract, section 1), with the header's request id, as JSON."""
    assert answer.header("content-type") == "application/json"
    told = answer.json()
    assert told.keys() == {"error"}
    # OpenAI's clients read two fields more.
    assert told["error"].keys() - {"type", "param"} == {"code", "message", "details"}
    assert told["error"]["details"]["request_id"] == answer.header("x-request-id")
    assert answer.header("server") is None
    for text in ("sanic", "traceback", ".py", "exception"):
        assert text not in answer.body.decode().lower()


async def stops(sent: list[int]) -> int:
    """Waits until no more events go out; gives how many did."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            before = len(sent)
            await asyncio.sleep(0.3)
            if sent and len(sent) == before:
                return before
