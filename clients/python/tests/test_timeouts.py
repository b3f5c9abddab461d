"""Clocks on real sockets: who is silent is left, after the time that is set for what is awaited."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from knowledge_base import AsyncKnowledgeBase, KnowledgeBase, Retries, Timeouts, Token, errors

from .both import Client

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = b'event: token\ndata: {"text":"a"}\n\n'
SHORT_S, LONG_S = 0.15, 600.0


@contextlib.contextmanager
def silent(sent: bytes) -> Iterator[str]:
    """A server that takes a request, sends this, and then nothing; its address."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(sent)
                    over.wait(60)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)


@pytest.fixture(params=[KnowledgeBase, AsyncKnowledgeBase], ids=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_a_head_that_does_not_come_is_given_up(kind: Any) -> None:
    """However long a stream may be silent."""
    timeouts = Timeouts(head=SHORT_S, idle=LONG_S)
    with silent(b"") as url:
        asking = Client(kind(url, api_key="k", timeouts=timeouts, retries=Retries(times=0)))
        with pytest.raises(errors.TimedOut):
            await asking.call("ask", "tea?")


async def test_a_stream_that_falls_silent_is_given_up(kind: Any) -> None:
    """However long its head may take; what came before was told."""
    timeouts = Timeouts(head=LONG_S, idle=SHORT_S)
    with silent(HEAD + chunked(b": connected\n\n") + chunked(TOKEN)) as url:
        stream = kind(url, api_key="k", timeouts=timeouts).ask("tea?")
        with pytest.raises(errors.TimedOut):
            await read(stream)
        assert stream.so_far.text == "a"


async def read(stream: Any) -> None:
    if hasattr(stream, "__anext__"):
        async for event in stream:
            assert isinstance(event, Token)
    else:
        for event in stream:
            assert isinstance(event, Token)


async def test_a_whole_answer_has_a_time_of_its_own(kind: Any) -> None:
    """All of it comes at once, and late."""
    timeouts = Timeouts(head=LONG_S, idle=LONG_S, whole_answer=SHORT_S)
    with silent(b"") as url:
        asking = Client(kind(url, api_key="k", timeouts=timeouts, retries=Retries(times=0)))
        with pytest.raises(errors.TimedOut):
            await asking.call("ask", "tea?", stream=False)


async def test_an_answer_cut_in_the_middle_is_incomplete(kind: Any) -> None:
    """By a FIN in the middle of a chunk, as of a process that was killed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                # All of the request: what is left of it would make a RST of the FIN.
                asked = b""
                while not asked.endswith(b'"stream": true}') and (more := connection.recv(65536)):
                    asked += more
                connection.sendall(HEAD + chunked(TOKEN) + b"ff\r\nevent: tok")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        stream = kind(url, api_key="k").ask("tea?")
        with pytest.raises(errors.AnswerIncomplete):
            await read(stream)
        thread.join(60)
    assert stream.so_far.text == "a"
