"""The gateway on a thread of its own, for what can only ask synchronously."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future

from .conftest import Gateway, running_gateway
from .stub_core import DONE, END, META, STREAM_HEAD, TOKEN, StubCore, chunk, stub_core


@contextlib.contextmanager
def live_gateway() -> Iterator[tuple[str, Gateway]]:
    """The base URL, and the gateway (whose coroutines belong to the other thread)."""
    started: Future[tuple[str, Gateway, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_run(started)), name="live gateway")
    thread.start()
    url, gateway, loop, stop = started.result(timeout=60)
    try:
        yield url, gateway
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=60)
        assert not thread.is_alive()


async def _run(
    started: Future[tuple[str, Gateway, asyncio.AbstractEventLoop, asyncio.Event]],
) -> None:
    stop = asyncio.Event()
    try:
        # There is no Redis here, and a documented header is no reason for a 503.
        ignoring = {"IDEMPOTENCY_WITHOUT_REDIS": "ignore"}
        async with stub_core() as core, running_gateway(core, **ignoring) as gateway:
            core.script = lambda reader, writer: _answer(core, writer)
            url = f"http://{gateway.address[0]}:{gateway.address[1]}"
            started.set_result((url, gateway, asyncio.get_running_loop(), stop))
            await stop.wait()
    except BaseException as exc:
        if not started.done():
            started.set_exception(exc)
        raise


async def _answer(core: StubCore, writer: asyncio.StreamWriter) -> None:
    """A core without documents that answers every query."""
    first = core.heads[-1].split("\r\n", 1)[0]
    if first.startswith("POST /v1/query"):
        writer.write(STREAM_HEAD + chunk(META) + chunk(TOKEN) + chunk(DONE) + END)
    elif first.startswith("GET /v1/documents?"):
        writer.write(_json("200 OK", b'{"documents":[],"next_cursor":null}'))
    elif first.startswith("POST /v1/search "):
        writer.write(_json("200 OK", b'{"passages":[]}'))
    elif first.startswith("DELETE "):
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    else:
        writer.write(
            _json("404 Not Found", b'{"error":{"code":"NOT_FOUND","message":"","details":{}}}')
        )


def _json(status: str, body: bytes) -> bytes:
    # The stub core hangs up behind each answer, which would else be a connection that broke.
    head = f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
