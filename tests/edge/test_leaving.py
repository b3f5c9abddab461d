"""A client that leaves while its question is answered is noticed at once, however it leaves.

Whatever it sent behind the question, plain or over TLS, to an event stream or one JSON answer: the
core's request ends, and the log says ``client_left``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable

import pytest

from gateway.edge.wire.body_limit import LINGER_BYTES
from gateway.edge.wire.protocol import BEHIND_BYTES
from tests.certificates import Authority, client

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, read_answer, read_head, request, reset
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk
from .test_logs import Lines, lines, uncached

__all__ = ["lines", "uncached"]

BOTH_LOOPS = True
HEALTH = request("GET", "/healthz")
BEHIND = [0, 1024, BEHIND_BYTES, 1024 * 1024]
WAYS = ["close", "half-close", "reset"]
ANSWERS = ["stream", "json", "stream over 1.0", "json over 1.0"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def https(authority: Authority) -> dict[str, str]:
    pair = authority.issue("gateway")
    return {"TLS_CERT_FILE": str(pair.cert), "TLS_KEY_FILE": str(pair.key)}


@pytest.fixture(params=["plain", "tls"])
async def gateway(
    request: pytest.FixtureRequest, core: StubCore, authority: Authority, https: dict[str, str]
) -> AsyncIterator[Gateway]:
    if request.param == "plain":
        async with running_gateway(core) as running:
            yield running
    else:
        async with running_gateway(core, trust=client(authority), **https) as running:
            yield running


class Asker:
    """A client that asks a question, sends more behind it, and leaves."""

    def __init__(self, gateway: Gateway, request_id: str = "left", *, narrow: bool = False) -> None:
        self.gateway = gateway
        self.narrow = narrow
        self.request_id = request_id
        self.asked = b""
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def asks(self, answer: str, *, before: bytes = b"", behind: bytes = b"") -> None:
        """Sends all at once."""
        gateway, streamed = self.gateway, b"true" if answer.startswith("stream") else b"false"
        headers = {"Content-Type": "application/json", "X-Request-ID": self.request_id}
        headers.update(await gateway.bearer())
        asked = request("POST", "/api/v1/query", headers, b'{"query":"hi","stream":%b}' % streamed)
        if answer.endswith("1.0"):
            asked = asked.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        sock = socket.socket()
        if self.narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, gateway.address)
        name = None if gateway.trust is None else "127.0.0.1"
        opened = asyncio.open_connection(sock=sock, ssl=gateway.trust, server_hostname=name)
        self.reader, self.writer = await opened
        self.asked = asked
        self.writer.write(before + asked + behind)

    async def has_begun(self, answer: str) -> None:
        """Waits until the core is asked, and for the first event of a stream."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.gateway.core.asked.wait()
            if answer.startswith("stream"):
                await self.reader.readuntil(META)

    async def leaves(self, way: str) -> None:
        if way == "reset":
            reset(self.writer)
        elif way == "half-close":
            await half_close(self.writer)
        else:
            self.writer.close()

    async def assert_noticed(self, lines: Lines) -> None:
        """The core's connection ends, and the log says why."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.gateway.core.closed.wait()
        line = await lines.request(self.request_id)
        assert (line["stream_end"], line.get("error")) == ("client_left", None)
        self.writer.close()


async def half_close(writer: asyncio.StreamWriter) -> None:
    """A FIN behind all that was written; over TLS without the ``close_notify`` before it."""
    if writer.can_write_eof():
        writer.write_eof()
        return
    async with asyncio.timeout(TIMEOUT_S):
        while writer.transport.get_write_buffer_size():  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.01)
    with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as same:
        same.shutdown(socket.SHUT_WR)


def healths(size: int) -> bytes:
    """Requests of at least ``size`` bytes together."""
    return HEALTH * -(-size // len(HEALTH))


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_leaves_is_noticed_at_once(
    gateway: Gateway, lines: Lines, answer: str, way: str
) -> None:
    """Whatever it sent behind its question, with it or later.

    No more comes from the core, so that nothing but the leaving itself can show it.
    """
    for behind in BEHIND:
        for later in (False, True) if behind else (False,):
            gateway.core.holds(STREAM_HEAD, chunk(META))
            asker = Asker(gateway, f"{behind}.{later}")
            await asker.asks(answer, behind=b"" if later else healths(behind))
            await asker.has_begun(answer)
            if later:
                asker.writer.write(healths(behind))
            await asker.leaves(way)
            await asker.assert_noticed(lines)


@pytest.mark.parametrize("gateway", ["plain"], indirect=True)
@pytest.mark.parametrize("answer", ["stream", "json"])
@pytest.mark.parametrize("way", WAYS)
async def test_who_leaves_before_the_core_says_anything_has_left(
    gateway: Gateway, lines: Lines, answer: str, way: str
) -> None:
    """No head went out yet, so its line has a status that nobody got, and no error."""
    gateway.core.holds()
    asker = Asker(gateway)
    await asker.asks(answer)
    async with asyncio.timeout(TIMEOUT_S):
        await gateway.core.asked.wait()
    await asker.leaves(way)
    await asker.assert_noticed(lines)


@pytest.mark.parametrize("gateway", ["plain"], indirect=True)
@pytest.mark.parametrize("answer", ["stream", "json"])
async def test_who_left_before_the_answer_was_under_way_has_left(
    gateway: Gateway, lines: Lines, answer: str
) -> None:
    """The core is left, or not even asked. What was no question before it is answered."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    asker = Asker(gateway)
    await asker.asks(answer, before=HEALTH)
    await asker.leaves("half-close")
    async with asyncio.timeout(TIMEOUT_S):
        assert (await read_answer(asker.reader)).status == 200
    assert (await lines.request("left"))["stream_end"] == "client_left"
    if gateway.core.asked.is_set():
        await asker.assert_noticed(lines)
    asker.writer.close()


async def test_who_takes_nothing_and_leaves_has_left(gateway: Gateway, lines: Lines) -> None:
    """Also where more waits for it than its connection holds."""
    event = b"event: token\ndata: " + b"x" * 100_000 + b"\n\n"
    gateway.core.holds(STREAM_HEAD, chunk(event) * 100)
    asker = Asker(gateway)
    await asker.asks("stream")
    async with asyncio.timeout(TIMEOUT_S):
        await read_head(asker.reader)
        asker.writer.transport.pause_reading()  # type: ignore[attr-defined]
        while not waiting(gateway):  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.01)
    await asker.leaves("half-close")
    await asker.assert_noticed(lines)


async def test_who_leaves_a_question_behind_an_answer_not_taken_has_left(core: StubCore) -> None:
    """What waits of the answer before it holds up the connection's end, and not the core's."""
    async with running_gateway(core, STREAM_CLIENT_STALL="10m") as gateway:
        begun, left = large_then_nothing(core)
        asker = Asker(gateway, narrow=True)
        await asker.asks("json")
        await until(lambda: waiting(gateway) > BEHIND_BYTES)
        asker.writer.write(asker.asked)
        async with asyncio.timeout(TIMEOUT_S):
            await begun.wait()
            await asker.leaves("half-close")
            await left.wait()
        asker.writer.transport.abort()


def large_then_nothing(core: StubCore) -> tuple[asyncio.Event, asyncio.Event]:
    """Answers one question with more than a connection holds, and then none: begun, and left."""
    begun, left = asyncio.Event(), asyncio.Event()

    async def nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()
        left.set()

    async def large(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        core.script = nothing
        token = b'event: token\ndata: {"text":"%b"}\n\n' % (b"x" * 4000)
        writer.write(STREAM_HEAD + chunk(token) * 1500 + chunk(DONE) + END)

    core.script = large
    return begun, left


@pytest.mark.parametrize("gateway", ["plain"], indirect=True)
async def test_who_leaves_before_its_last_bytes_has_left(gateway: Gateway, lines: Lines) -> None:
    """Also where the core's answer has ended well, and all of it waits for the client."""
    event = b"event: token\ndata: " + b"x" * 16_000 + b"\n\n"
    last = b"event: token\ndata: " + b"x" * 200_000 + b"\n\n" + DONE

    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        while not waiting(gateway):
            writer.write(chunk(event))
            await asyncio.sleep(0.001)
        writer.write(chunk(last) + END)

    gateway.core.script = script
    asker = Asker(gateway, narrow=True)
    await asker.asks("stream")
    await until(lambda: waiting(gateway) > BEHIND_BYTES)
    await asker.leaves("half-close")
    await asker.assert_noticed(lines)


def waiting(gateway: Gateway) -> int:
    """What the gateway holds for clients."""
    return sum(one.transport.get_write_buffer_size() for one in gateway.server.connections)


async def test_a_close_notify_alone_is_a_leave(
    core: StubCore, authority: Authority, https: dict[str, str]
) -> None:
    """TLS ends with it; TCP may stay open for as long as it likes (RFC 8446, 6.1)."""
    for streamed in (b"true", b"false"):
        async with running_gateway(core, trust=client(authority), **https) as gateway:
            core.holds(STREAM_HEAD, chunk(META))
            reader, writer = await asyncio.open_connection(*gateway.address)
            tls = await OpenTls.made(reader, writer, client(authority))
            headers = {"Content-Type": "application/json", **await gateway.bearer()}
            body = b'{"query":"hi","stream":%b}' % streamed
            tls.send(request("POST", "/api/v1/query", headers, body))
            async with asyncio.timeout(TIMEOUT_S):
                await core.asked.wait()
                tls.notify_close()
                await core.closed.wait()
            writer.close()


class OpenTls:
    """TLS by hand, over a connection that outlives it."""

    def __init__(self, writer: asyncio.StreamWriter, trust: ssl.SSLContext) -> None:
        self._writer = writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trust.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    @classmethod
    async def made(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trust: ssl.SSLContext
    ) -> OpenTls:
        made = cls(writer, trust)
        while True:
            try:
                made._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                made._flush()
                made._incoming.write(await reader.read(65536))
        made._flush()
        return made

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def notify_close(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def _flush(self) -> None:
        self._writer.write(self._outgoing.read())


# --- what is sent behind a question ---------------------------------------------------------------


@pytest.mark.parametrize("answer", ["stream", "json"])
async def test_a_little_behind_a_question_is_answered_after_it(
    gateway: Gateway, answer: str
) -> None:
    """Pipelining works as on every other route, up to 64 KiB."""
    go_on = gateway.core.holds(STREAM_HEAD, chunk(META), then=chunk(DONE) + END)
    asker = Asker(gateway)
    await asker.asks(answer)
    await asker.has_begun(answer)
    count = BEHIND_BYTES // len(HEALTH)
    asker.writer.write(HEALTH * count)
    await until(lambda: kept(gateway) == count * len(HEALTH))
    go_on.set()
    async with asyncio.timeout(TIMEOUT_S):
        if answer == "stream":
            await asker.reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            assert (await read_answer(asker.reader)).status == 200
        answers = [await read_answer(asker.reader) for _ in range(count)]
        asker.writer.write(HEALTH)
        answers.append(await read_answer(asker.reader))
    asker.writer.close()
    assert {one.status for one in answers} == {200}


@pytest.mark.parametrize("answer", ["stream", "json"])
@pytest.mark.parametrize("later", [False, True])
async def test_much_behind_a_question_is_discarded_and_its_answer_whole(
    gateway: Gateway, answer: str, later: bool
) -> None:
    """Nothing of it is kept; the answer is the connection's last, and no reset overtakes it."""
    go_on = gateway.core.holds(STREAM_HEAD, chunk(META), then=chunk(DONE) + END)
    asker = Asker(gateway)
    much = healths(1024 * 1024)
    await asker.asks(answer, behind=b"" if later else much)
    await asker.has_begun(answer)
    if later:
        asker.writer.write(much)
    await until(lambda: discarded(gateway) == len(much))
    assert kept(gateway) == 0
    go_on.set()
    async with asyncio.timeout(TIMEOUT_S):
        if answer == "stream":
            await asker.reader.readuntil(DONE + b"\r\n0\r\n\r\n")
        else:
            assert (await read_answer(asker.reader)).header("connection") == "close"
        assert await asker.reader.read() == b""
    asker.writer.close()


async def test_who_goes_on_sending_behind_a_question_is_cut_off(
    gateway: Gateway, lines: Lines
) -> None:
    """What is read to be discarded has a limit, as with a refused body."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    asker = Asker(gateway)
    await asker.asks("stream")
    await asker.has_begun("stream")
    asker.writer.write(healths(LINGER_BYTES + BEHIND_BYTES))
    await asker.assert_noticed(lines)


def kept(gateway: Gateway) -> int:
    return sum(len(one.recv_buffer) for one in gateway.server.connections)


def discarded(gateway: Gateway) -> int:
    return sum(one._discarded_bytes for one in gateway.server.connections)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  (nothing tells what a side has read)
            await asyncio.sleep(0.01)
