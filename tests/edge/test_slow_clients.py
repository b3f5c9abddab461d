"""Slow clients and many: absolute deadlines and caps, with a clock the test turns."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sanic.http.constants import Stage

from gateway.edge.wire import connections
from gateway.edge.wire.connections import LINGER_S

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, assert_error_shape, read_answer, read_head, request
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk

BOTH_LOOPS = True
HEALTH = request("GET", "/healthz")
JSON = {"Content-Type": "application/json"}
LATE = (408, "REQUEST_TIMEOUT")
OVERLOADED = (503, "OVERLOADED")


class Turned:
    """The worker's tick, run by the test; its own timer is stopped."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.connections = gateway.application.connections
        self.connections.stop()
        self._now_s = self.connections.now_s

    def advance(self, seconds: float) -> None:
        self._now_s += seconds
        self.connections.tick(self._now_s)

    async def client(self) -> Client:
        gateway = self.gateway
        reader, writer = await asyncio.open_connection(*gateway.address, ssl=gateway.trust)
        return Client(self, reader, writer)

    async def until_open(self, count: int) -> None:
        await until(lambda: len(self.connections) == count)


class Client:
    """A client, and the gateway's side of its connection."""

    def __init__(
        self, turned: Turned, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._turned = turned
        self._address = writer.get_extra_info("sockname")

    @property
    def protocol(self) -> Any:
        """The gateway's side; ``None`` when there is none (yet, or any more)."""
        for protocol in self._turned.gateway.server.connections:
            if protocol.conn_info.peername == self._address and protocol.http is not None:
                return protocol
        return None

    async def connected(self) -> None:
        await until(lambda: self.protocol is not None)

    async def send(self, data: bytes, seen: Callable[[Any], bool]) -> None:
        """Sends ``data`` and waits until the gateway's side looks like ``seen``."""
        self.writer.write(data)
        await until(lambda: self.protocol is not None and seen(self.protocol))

    async def ends(self) -> bytes:
        """All that still comes, up to the connection's end."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await self.reader.read()
            finally:
                self.writer.close()

    async def refused(self) -> tuple[int, str]:
        async with asyncio.timeout(TIMEOUT_S):
            answer = await read_answer(self.reader)
        assert_error_shape(answer)
        assert answer.header("connection") == "close"
        assert await self.ends() == b""
        return answer.status, answer.code


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():  # noqa: ASYNC110  (nothing tells when a side has seen a byte)
            await asyncio.sleep(0)


def head_has(size: int) -> Callable[[Any], bool]:
    return lambda protocol: (
        protocol.http.stage is Stage.REQUEST and len(protocol.recv_buffer) == size
    )


def body_lacks(size: int) -> Callable[[Any], bool]:
    return lambda protocol: (
        bool(protocol.http.request_body) and protocol.http.request_bytes_left == size
    )


def idle(protocol: Any) -> bool:
    return protocol.http.stage is Stage.IDLE and not protocol.http.request_body


# --- slow -----------------------------------------------------------------------------------------


async def test_a_head_that_trickles_in_is_late_all_the_same(gateway: Gateway) -> None:
    """No byte moves the head's end: slowloris has its 10 s and no more."""
    turned = Turned(gateway)
    client = await turned.client()
    for size in range(1, 6):
        await client.send(HEALTH[size - 1 : size], head_has(size))
        turned.advance(1.9)
    await client.send(HEALTH[5:6], head_has(6))
    turned.advance(1.9)
    assert await client.refused() == LATE


async def test_a_connection_that_says_nothing_is_closed(gateway: Gateway) -> None:
    """There was no request, so there is no answer."""
    turned = Turned(gateway)
    client = await turned.client()
    await client.connected()
    turned.advance(9.9)
    assert client.protocol is not None
    turned.advance(0.2)
    assert await client.ends() == b""


async def test_a_body_that_trickles_in_is_late_all_the_same(gateway: Gateway) -> None:
    """Its 30 s count from when it is asked for, and the answer is a 408."""
    turned = Turned(gateway)
    client = await turned.client()
    await client.send(request("POST", "/auth/login", JSON, b"x" * 9)[:-9], body_lacks(9))
    for left in range(8, 3, -1):
        await client.send(b"x", body_lacks(left))
        turned.advance(5.9)
    await client.send(b"x", body_lacks(3))
    turned.advance(5.9)
    assert await client.refused() == LATE


async def test_a_chunked_body_that_trickles_in_is_late_too(gateway: Gateway) -> None:
    """Also where no length was announced."""
    turned = Turned(gateway)
    client = await turned.client()
    head = request("POST", "/auth/login", {**JSON, "Transfer-Encoding": "chunked"})
    await client.send(head + b"1", lambda protocol: protocol.http.request_body == "chunked")
    turned.advance(31)
    assert await client.refused() == LATE


async def test_a_body_nobody_wanted_is_waited_for_no_longer(gateway: Gateway) -> None:
    """The answer went out before the body came; at the deadline the connection just ends."""
    turned = Turned(gateway)
    client = await turned.client()
    await client.send(request("POST", "/nothing", JSON, b"x" * 9)[:-9], body_lacks(9))
    async with asyncio.timeout(TIMEOUT_S):
        assert (await read_answer(client.reader)).status == 404
    turned.advance(31)
    assert await client.ends() == b""


async def test_an_idle_connection_is_closed_at_its_time(gateway: Gateway) -> None:
    """Each answer starts it anew."""
    turned = Turned(gateway)
    client = await turned.client()
    for _ in range(3):
        client.writer.write(HEALTH)
        async with asyncio.timeout(TIMEOUT_S):
            assert (await read_answer(client.reader)).status == 200
        await until(lambda: idle(client.protocol))
        turned.advance(74)
    turned.advance(2)
    assert await client.ends() == b""


async def test_clocks_of_the_request_leave_its_answer_alone(gateway: Gateway) -> None:
    """A stream of some minutes exceeds every limit for heads and bodies, which don't apply."""
    turned = Turned(gateway)
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking()
    await streaming.until(META)
    turned.advance(300)
    gateway.core.script = gateway.core.answer_well
    assert not streaming.reader.at_eof()
    assert len(turned.connections) >= 1
    streaming.writer.close()


async def test_a_refused_client_that_stays_is_let_go(gateway: Gateway) -> None:
    """The time to read a refusal is short, and further bytes do not extend it."""
    turned = Turned(gateway)
    client = await turned.client()
    client.writer.write(b"no request\r\n\r\n")
    async with asyncio.timeout(TIMEOUT_S):
        assert (await read_answer(client.reader)).status == 400
    await until(lambda: client.protocol is None or client.protocol.lingering)
    turned.advance(LINGER_S + 0.1)
    await turned.until_open(0)
    client.writer.close()


# --- slow at taking an answer -----------------------------------------------------------------


LARGE = 4_000_000
# Answers of ``/openapi.json``, which together are larger than ``LARGE``.
MANY = 60
WAYS = ["kept", "closed after", "half-closed", "half-closed later"]


class Taker(Client):
    """A client with little room, for whom a large answer waits of which it has read nothing."""

    async def asks(self, way: str) -> None:
        if way == "half-closed":
            # On a question that would be the client leaving.
            self.writer.write(request("GET", "/openapi.json") * MANY)
            self.writer.write_eof()
            await until(lambda: self.waiting > 64 * 1024)
            return
        token = b'event: token\ndata: {"text":"%b"}\n\n' % (b"x" * (LARGE // 1000))
        self._turned.gateway.core.sends(STREAM_HEAD, chunk(token) * 1000, chunk(DONE), END)
        headers = {**JSON, **await self._turned.gateway.bearer()}
        if way == "closed after":
            headers["Connection"] = "close"
        body = b'{"query": "hi", "stream": false}'
        asked = request("POST", "/api/v1/query", headers, body)
        self.writer.write(asked * 2 if way == "asks on" else asked)
        await until(lambda: self.waiting > 64 * 1024)
        if way == "half-closed later":
            protocol = self.protocol
            self.writer.write_eof()
            await until(protocol.transport.is_closing)

    @property
    def waiting(self) -> int:
        """What the gateway's side holds for it."""
        protocol = self.protocol
        return 0 if protocol is None else int(protocol.transport.get_write_buffer_size())

    async def take(self, size: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self.reader.readexactly(size)


@contextlib.asynccontextmanager
async def taker(turned: Turned, way: str) -> AsyncIterator[Taker]:
    # A close that is not the answer's end shows at once, and not after Sanic's five seconds.
    turned.gateway.app.config.GRACEFUL_TCP_CLOSE_TIMEOUT = 0
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, turned.gateway.address)
    reader, writer = await asyncio.open_connection(sock=sock, limit=16384)
    client = Taker(turned, reader, writer)
    try:
        await client.asks(way)
        yield client
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_takes_its_answer_slowly_gets_all_of_it(
    gateway: Gateway, way: str
) -> None:
    """No deadline of the connection runs while the client still takes its last answer."""
    turned = Turned(gateway)
    async with taker(turned, way) as client:
        taken = 0
        for _ in range(MANY if way == "half-closed" else 1):
            async with asyncio.timeout(TIMEOUT_S):
                status, headers = await read_head(client.reader)
            assert status == 200
            length = int(dict(headers)["content-length"])
            taken += length
            # None is smaller than that: a taking that makes no room in a socket is none.
            parts = max(1, length // (LARGE // 20))
            for part in range(parts):
                turned.advance(20)
                await asyncio.sleep(0)
                await client.take(length * (part + 1) // parts - length * part // parts)
        assert taken > LARGE


@pytest.mark.parametrize("way", [*WAYS, "asks on"])
async def test_a_client_that_takes_nothing_of_its_answer_is_let_go(
    gateway: Gateway, way: str
) -> None:
    """Whatever else it says: what waits for it, or is to be sent behind that, is not kept."""
    turned = Turned(gateway)
    async with taker(turned, way):
        for _ in range(30):
            turned.advance(10)
            for _ in range(10):
                await asyncio.sleep(0)
        assert not len(turned.connections)


# --- many -----------------------------------------------------------------------------------------


async def test_a_connection_beyond_the_workers_cap_is_told_so(core: StubCore) -> None:
    """503 in the one shape and a close; open connections stay, and a free place is given."""
    async with running_gateway(core, CONNECTIONS_LIMIT="2") as gateway:
        turned = Turned(gateway)
        inside = [await turned.client() for _ in range(2)]
        await turned.until_open(2)
        beyond = await turned.client()
        assert await beyond.refused() == OVERLOADED
        inside[0].writer.write(HEALTH)
        async with asyncio.timeout(TIMEOUT_S):
            assert (await read_answer(inside[0].reader)).status == 200
        inside[1].writer.close()
        await turned.until_open(1)
        after = await turned.client()
        after.writer.write(HEALTH)
        async with asyncio.timeout(TIMEOUT_S):
            assert (await read_answer(after.reader)).status == 200
        for client in (inside[0], after):
            client.writer.close()
        await turned.until_open(0)


async def test_a_connection_turned_away_that_stays_is_cut(core: StubCore) -> None:
    """The refusal costs the gateway a connection for a moment only."""
    async with running_gateway(core, CONNECTIONS_LIMIT="1") as gateway:
        turned = Turned(gateway)
        inside = await turned.client()
        await turned.until_open(1)
        staying = await turned.client()
        async with asyncio.timeout(TIMEOUT_S):
            assert (await read_answer(staying.reader)).status == 503
        turned.advance(LINGER_S + 0.1)
        await turned.until_open(1)
        for client in (inside, staying):
            client.writer.close()


async def test_connections_of_one_address_are_capped(
    core: StubCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loopback is exempt, so here it is taken for another address."""
    monkeypatch.setattr(connections, "is_loopback", lambda _: False)
    async with running_gateway(core, CONNECTIONS_PER_ADDRESS="1") as gateway:
        turned = Turned(gateway)
        inside = await turned.client()
        await turned.until_open(1)
        beyond = await turned.client()
        assert await beyond.refused() == OVERLOADED
        inside.writer.close()
        await turned.until_open(0)
        after = await turned.client()
        after.writer.write(HEALTH)
        async with asyncio.timeout(TIMEOUT_S):
            assert (await read_answer(after.reader)).status == 200
        after.writer.close()
        await turned.until_open(0)
        assert turned.connections._by_address == {}


async def test_a_trusted_proxys_connections_are_not_capped_as_one_clients(
    core: StubCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All clients come from its address. Loopback is exempt by itself, so here it is none."""
    monkeypatch.setattr(connections, "is_loopback", lambda _: False)
    settings = {"TRUSTED_PROXIES": "127.0.0.0/8", "CONNECTIONS_PER_ADDRESS": "1"}
    async with running_gateway(core, **settings) as gateway:
        turned = Turned(gateway)
        clients = [await turned.client() for _ in range(3)]
        seen = []
        for client in clients:
            client.writer.write(HEALTH)
            async with asyncio.timeout(TIMEOUT_S):
                seen.append((await read_answer(client.reader)).status)
        # Closed whatever they saw: with one of them open the loop would not end.
        for client in clients:
            client.writer.close()
        assert seen == [200, 200, 200]


async def test_behind_a_proxy_a_client_is_who_the_proxy_says(core: StubCore) -> None:
    """Requests under way count for the nearest address that is no proxy, and only while they are.

    What stands left of it is the client's own invention and changes nothing.
    """
    settings = {"TRUSTED_PROXIES": "127.0.0.0/8", "CONNECTIONS_PER_ADDRESS": "1"}
    async with running_gateway(core, **settings) as gateway:
        turned = Turned(gateway)
        go_on = core.holds(STREAM_HEAD, chunk(META))
        streaming = await gateway.asking(**{"X-Forwarded-For": "9.9.9.9, 127.0.0.7"})
        await streaming.until(META)
        for told, status in {
            "9.9.9.9": 503,
            "1.1.1.1, 9.9.9.9": 503,
            "9.9.9.9, 8.8.8.8": 200,
            "::ffff:9.9.9.9": 503,
            "9.9.9.9:4711": 503,
            '"9.9.9.9:4712"': 503,
            "8.8.8.8:4711": 200,
            "7.7.7.7": 200,
        }.items():
            answer = await gateway.client.get("/healthz", headers={"X-Forwarded-For": told})
            assert answer.status_code == status, told
        go_on.set()
        await streaming.rest()
        streaming.writer.close()
        await until(lambda: turned.connections._by_address == {})
        again = await gateway.client.get("/healthz", headers={"X-Forwarded-For": "9.9.9.9"})
        assert again.status_code == 200


def test_the_file_limit_is_raised_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is raised as far as allowed; a shortage is reported with its numbers."""
    limits = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.__setitem__(0, pair[0]))
    assert connections.raise_file_limit(1000) is None
    assert limits[0] == 1024
    assert connections.raise_file_limit(2000) is None
    assert limits[0] == 2000
    assert connections.raise_file_limit(5000) == (
        "a worker may need 5000 open files and the limit is 4096"
    )
    assert limits[0] == 4096
