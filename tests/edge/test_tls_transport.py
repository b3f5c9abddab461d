"""TLS on a connection, by itself: what it must do with clients that are slow, odd or gone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.edge.wire import tls_transport
from gateway.edge.wire.tls_transport import TlsTransport
from gateway.tls.certificates import TlsFiles, server_context
from tests.certificates import Authority, client

from .raw import TIMEOUT_S
from .raw_tls import RawTls

BOTH_LOOPS = True
HELLO = b"hello"


class Inner(asyncio.Protocol):
    """The protocol that speaks inside of TLS; it notes what it is told."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.came = asyncio.Event()
        self.left = False
        self.lost = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.pauses = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, TlsTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.came.set()

    def eof_received(self) -> None:
        self.left = True

    async def has(self, ending: bytes) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not self.received.endswith(ending):
                self.came.clear()
                await self.came.wait()

    def pause_writing(self) -> None:
        self.pauses += 1
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        assert not self.lost.is_set()
        self.lost.set()


class Server:
    """Listens with TLS; ``inner`` has every protocol that a finished handshake brought."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        pair = authority.issue()
        self.context = server_context(TlsFiles(cert=pair.cert, key=pair.key))
        self.inner: list[Inner] = []
        self.kind: type[Inner] = Inner
        self.address = ("", 0)
        # What the loop was told of that nobody handles.
        self.faults: list[object] = []

    def make(self) -> TlsTransport:
        def inner() -> Inner:
            self.inner.append(self.kind())
            return self.inner[-1]

        return TlsTransport(self.context, inner, handshake_s=TIMEOUT_S)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, Inner]:
        """A client, and the server's end of its connection."""
        trust = client(self.authority)
        reader, writer = await asyncio.open_connection(*self.address, ssl=trust)
        writer.write(HELLO)
        return reader, writer, await self.newest()

    async def newest(self) -> Inner:
        """The one that was said hello to."""
        async with asyncio.timeout(TIMEOUT_S):
            while not self.inner:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await self.inner[-1].has(HELLO)
        return self.inner[-1]


@contextlib.asynccontextmanager
async def raw_client(server: Server) -> AsyncIterator[tuple[RawTls, Inner]]:
    """A client that does nothing by itself, once it has said hello; and the server's end."""
    authority = server.authority
    raw = RawTls(server.address, client(authority), authority.ca.parent)
    with contextlib.closing(raw):
        await raw.shake_hands()
        await raw.say(HELLO)
        yield raw, await server.newest()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(Authority(tmp_path))
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, told: made.faults.append(told))
    listening = await loop.create_server(made.make, "127.0.0.1", 0)
    made.address = listening.sockets[0].getsockname()
    yield made
    listening.close()
    assert made.faults == []


def narrow(transport: asyncio.BaseTransport) -> None:
    """The kernel takes little of what is sent, whatever this machine would give a socket."""
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)


async def none_left() -> None:
    """No connection is held by anything, be it a timer."""
    async with asyncio.timeout(TIMEOUT_S):
        while any(isinstance(one, TlsTransport) for one in gc.get_objects()):
            gc.collect()
            await asyncio.sleep(0.01)


# --- handshakes ---------------------------------------------------------------------------------


def first_flight(trust: ssl.SSLContext) -> bytes:
    """A client's hello."""
    outgoing = ssl.MemoryBIO()
    tls = trust.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("part", [0, 1, 100, None], ids=["nothing", "a byte", "some", "a hello"])
@pytest.mark.parametrize("politely", [True, False])
async def test_a_client_that_leaves_in_its_handshake_leaves_nothing(
    server: Server, part: int | None, politely: bool
) -> None:
    """By FIN or by RST, at any moment: nobody is told, and nothing is kept."""
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(first_flight(client(server.authority))[:part])
    await writer.drain()
    if politely:
        writer.write_eof()
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionError):
                while await reader.read(4096):
                    pass
    else:
        linger = b"\1\0\0\0\0\0\0\0"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.close()
    await none_left()
    assert server.inner == []


async def test_who_cannot_agree_is_told_by_an_alert(server: Server) -> None:
    """``handshake_failure`` instead of a silent end (RFC 5246, 7.2.2)."""
    trust = client(server.authority)
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    trust.set_ciphers("AES128-SHA:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        await asyncio.open_connection(*server.address, ssl=trust)
    assert server.inner == []


# --- reading ------------------------------------------------------------------------------------


class Hesitant(Inner):
    """Pauses after every piece, and goes on a little later."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_later(0.0001, self.transport.resume_reading)


@pytest.mark.parametrize("kind", [Inner, Hesitant])
async def test_what_comes_is_handed_on_whole_and_in_order(
    server: Server, kind: type[Inner]
) -> None:
    """Records of all sizes, also where reading pauses in between."""
    server.kind = kind
    _, writer, inner = await server.connect()
    dice = random.Random(5)
    sent = [dice.randbytes(dice.choice((1, 100, 4096, 16_384, 70_000))) for _ in range(40)]
    for data in sent:
        writer.write(data)
        await writer.drain()
    wanted = HELLO + b"".join(sent)
    await inner.has(wanted[-1000:])
    assert inner.received == wanted
    writer.close()
    async with asyncio.timeout(TIMEOUT_S):
        await inner.lost.wait()
    assert inner.left


# --- writing ------------------------------------------------------------------------------------


async def test_what_is_sent_arrives_whole_and_in_order_however_slow_the_client(
    server: Server,
) -> None:
    """Sent directly or written, in any size; the sender learns when there is no room, and when
    there is some again."""
    reader, writer, inner = await server.connect()
    writer.transport.pause_reading()
    narrow(inner.transport)
    dice = random.Random(7)
    sent, full = bytearray(), False
    async with asyncio.timeout(TIMEOUT_S):
        for number in range(400):
            data = dice.randbytes(dice.choice((1, 130, 4096, 4097, 16_384, 100_000)))
            if number % 2:
                full |= not inner.transport.send(data)
            else:
                inner.transport.write(data)
            sent += data
            if not inner.room.is_set():
                assert inner.transport.get_write_buffer_size() < 512 * 1024
                writer.transport.resume_reading()
                await inner.room.wait()
                writer.transport.pause_reading()
        writer.transport.resume_reading()
        inner.transport.close()
        assert await reader.read() == sent
    assert full
    assert inner.pauses
    writer.close()


async def test_one_that_is_gone_can_be_written_to_in_silence(server: Server) -> None:
    """Whoever sends hears of the end a little later; until then nothing is raised or kept."""
    _, writer, inner = await server.connect()
    writer.transport.abort()
    async with asyncio.timeout(TIMEOUT_S):
        await inner.lost.wait()
    assert inner.transport.send(b"more")
    inner.transport.write(b"more")
    assert inner.transport.is_closing()
    assert inner.transport.get_write_buffer_size() == 0


# --- ends ---------------------------------------------------------------------------------------


async def test_a_closed_connection_still_takes_what_comes_and_resets_nothing(
    server: Server,
) -> None:
    """A client that sends on while the last answer is on its way reads that answer to its end."""
    reader, writer, inner = await server.connect()
    inner.transport.write(b"the last answer" * 1000)
    inner.transport.close()
    writer.write(b"more" * 50_000)
    async with asyncio.timeout(TIMEOUT_S):
        assert await reader.read() == b"the last answer" * 1000
        writer.close()
        await inner.lost.wait()
    assert inner.received == HELLO


async def test_a_client_that_does_not_close_is_not_waited_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only for ``CLOSE_WAIT_S``, once it has all that was written."""
    monkeypatch.setattr(tls_transport, "CLOSE_WAIT_S", 0.05)
    async with raw_client(server) as (_, inner):
        inner.transport.write(b"goodbye")
        inner.transport.close()
        async with asyncio.timeout(TIMEOUT_S):
            await inner.lost.wait()


async def test_nonsense_after_the_handshake_is_answered_by_an_alert(server: Server) -> None:
    """The protocol inside sees no byte of it, and its connection ends."""
    async with raw_client(server) as (raw, inner):
        await raw.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        async with asyncio.timeout(TIMEOUT_S):
            await inner.lost.wait()
        with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
            await raw.read(HELLO)
    assert inner.received == HELLO


# --- new keys -----------------------------------------------------------------------------------


async def test_new_keys_in_the_middle_of_a_stream_disturb_nothing(server: Server) -> None:
    """The gateway's own new keys go out between two events, in their turn."""
    async with raw_client(server) as (raw, inner):
        for number in range(50):
            inner.transport.send(b"event %d;" % number)
            await raw.ask_for_new_keys()
            await raw.say(b"%d noticed" % number)
            await inner.has(b"%d noticed" % number)
        inner.transport.send(b"last")
        events = b"".join(b"event %d;" % number for number in range(50))
        assert await raw.read(b"last") == events + b"last"


async def test_who_makes_tls_speak_and_takes_nothing_is_cut(server: Server) -> None:
    """Each request for new keys is answered with new keys: these must not pile up."""
    async with raw_client(server) as (raw, inner):
        while inner.room.is_set():
            inner.transport.send(bytes(4096))
        async with asyncio.timeout(TIMEOUT_S):
            with contextlib.suppress(ConnectionError):
                while not inner.lost.is_set():
                    await raw.ask_for_new_keys()
                    await asyncio.sleep(0)
        assert inner.transport.get_write_buffer_size() == 0
