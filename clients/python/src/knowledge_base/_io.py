"""What the core wants of the world; ``_sync`` and ``_async`` are the two there are."""

from __future__ import annotations

import http.cookiejar
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from knowledge_base._requests import Request
from knowledge_base._version import VERSION
from knowledge_base.errors import (
    ConnectionBroken,
    KnowledgeBaseError,
    NotConnected,
    ProtocolError,
    TimedOut,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """In seconds.

    Attributes:
        connect: for a connection.
        head: for the head of an answer, and between two reads of one that is no stream.
        idle: between two signs of life of a streamed answer; comments are such signs, and the
            server sends one every 15 s.
        whole_answer: for an answer with ``stream=False``, which comes all at once.
    """

    connect: float = 10.0
    head: float = 60.0
    idle: float = 60.0
    whole_answer: float = 960.0


class Response(ABC):
    """An answer whose head is in. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]

    @abstractmethod
    async def read(self) -> bytes:
        """The next bytes; empty at the end. Raises what ``translated`` gives."""

    @abstractmethod
    async def close(self) -> None:
        """Ends the connection, unless the answer was read to its end. May be repeated."""


class Io(ABC):
    """Sends requests, waits, works on files."""

    @abstractmethod
    async def open(self, request: Request, headers: Mapping[str, str]) -> Response:
        """Sends; gives the answer once its head is in.

        Raises:
            NotConnected, ConnectionBroken, TimedOut, ProtocolError.
        """

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    async def apart(self, work: Callable[[], T]) -> T:
        """Does what takes a while where it holds nobody up."""

    @abstractmethod
    async def together(
        self, works: Sequence[Coroutine[Any, Any, None]], stop: Callable[[], None]
    ) -> None:
        """Does them at once. A failure is raised once none is under way any more.

        ``stop`` is called at the first failure, or if we are interrupted: the others are to end.
        """

    @abstractmethod
    def lock(self) -> AbstractAsyncContextManager[object]: ...

    @abstractmethod
    async def close(self) -> None: ...


def options(timeouts: Timeouts, verify: ssl.SSLContext | bool, proxy: str | None) -> dict[str, Any]:
    """What both of httpx's clients are made with.

    Connections are not limited in number: a cancelled request can leave its place in httpx's pool
    taken for good. No cookie is kept. No redirect is followed: it could lead a credential away.
    """
    nobody = http.cookiejar.DefaultCookiePolicy(allowed_domains=[])
    return {
        "cookies": http.cookiejar.CookieJar(nobody),
        "follow_redirects": False,
        "headers": {"User-Agent": f"knowledge-base-client/{VERSION}"},
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=20),
        "proxy": proxy,
        "timeout": httpx.Timeout(timeouts.head, connect=timeouts.connect, pool=None),
        "verify": verify,
    }


def request_timeout(request: Request, timeouts: Timeouts) -> dict[str, float | None]:
    """As httpx has it for each request."""
    head = request.timeout_s or timeouts.head
    return {"connect": timeouts.connect, "read": head, "write": timeouts.head, "pool": None}


def head_is_in(request: Request, sent: httpx.Request, timeouts: Timeouts) -> None:
    """From now on a read of a stream may take as long as a stream may be silent.

    httpx looks at the request's time-outs when it begins with the head, and again with the body.
    """
    if request.is_stream:
        sent.extensions["timeout"]["read"] = timeouts.idle


def lower(headers: httpx.Headers) -> dict[str, str]:
    return {name.lower(): text for name, text in headers.items()}


def translated(error: Exception) -> KnowledgeBaseError:
    """One of httpx's own as one of ours. What was said on the wire is no part of it."""
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return NotConnected("No connection came about in time.")
        case httpx.ConnectError() | httpx.ProxyError() | httpx.UnsupportedProtocol():
            return NotConnected(f"No connection came about: {error}")
        case httpx.TimeoutException():
            return TimedOut("No answer came in time.")
        case httpx.TransportError():
            return ConnectionBroken(f"The connection broke: {error}")
    return ProtocolError(f"The answer cannot be read: {error}")


FAILURES = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL)


async def whole(response: Response, limit_bytes: int) -> bytes:
    """The rest of an answer, and closes it.

    Raises:
        ProtocolError: it is larger than ``limit_bytes``.
    """
    try:
        body = bytearray()
        while block := await response.read():
            body += block
            if len(body) > limit_bytes:
                raise ProtocolError(f"The answer has more than {limit_bytes} bytes.")
        return bytes(body)
    finally:
        await response.close()


async def blocks_apart(io: Io, blocks: Any) -> AsyncIterator[bytes]:
    """The blocks of a file, each read where it holds nobody up."""
    while block := await io.apart(lambda: next(blocks, b"")):
        yield block
