"""The transport on real sockets: what each kind of failure is called, and that nothing leaks."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.domain.headers import CORE_REQUEST_HEADERS
from gateway.http_client.client import make_client
from gateway.http_client.transport import CoreTransport

from .scripted import CHUNKED, OK, Peer, Server, answering, ask, once, serve, until


@asynccontextmanager
async def pool(limit: int = 10) -> AsyncIterator[tuple[httpx.AsyncClient, CoreTransport]]:
    transport = CoreTransport(limit=limit)
    async with make_client(transport) as client:
        yield client, transport
        assert (transport.slots.in_use, transport.slots.waiting) == (0, 0)


async def drain(client: httpx.AsyncClient, url: str, take: Callable[[bytes], None]) -> None:
    async with client.stream("GET", url) as response:
        async for chunk in response.aiter_raw():
            take(chunk)


def alive(transport: CoreTransport) -> int:
    """Idle connections whose end has not been seen."""
    return transport.idle_connections


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_a_fully_read_answer_leaves_its_connection_to_the_next() -> None:
    """Keep-alive, one request after the other."""
    async with serve(answering(OK)) as server, pool() as (client, transport):
        for _ in range(5):
            assert (await client.post(server.url, content=b"{}")).content == b"ok"
        assert (server.connections, transport.idle_connections) == (1, 1)


async def test_a_half_read_answer_never_leaves_its_connection_to_another() -> None:
    """What is left of one tenant's answer is never the head of another's."""
    half = CHUNKED + b"3\r\nabc\r\n"
    async with serve(answering(half)) as server, pool() as (client, transport):
        for n in range(3):
            async with client.stream("GET", server.url) as response:
                assert await anext(response.aiter_raw()) == b"abc"
            await server.until(lambda n=n: server.connections == n + 1 and server.open == 0)
        assert transport.idle_connections == 0


async def test_closing_twice_gives_back_one_slot() -> None:
    """``aclose`` is idempotent."""
    async with serve(answering(CHUNKED)) as server, pool() as (client, transport):
        one = await client.send(client.build_request("GET", server.url), stream=True)
        two = await client.send(client.build_request("GET", server.url), stream=True)
        for _ in range(3):
            await one.stream.aclose()  # type: ignore[union-attr]
            await one.aclose()
        assert transport.slots.in_use == 1
        await two.aclose()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", httpx.ReadError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", httpx.ReadError),
        (b"not http at all\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", httpx.RemoteProtocolError),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", httpx.RemoteProtocolError),
    ],
    ids=["hung up", "hung up in the head", "garbage", "bad length", "tls"],
)
async def test_a_failure_before_the_head_has_its_true_name(
    method: str, answer: bytes, kind: type[Exception]
) -> None:
    """And is not repeated behind our back: the server saw the request once."""
    async with serve(once(answer)) as server, pool() as (client, _):
        with pytest.raises(httpx.TransportError) as caught:
            await client.request(method, server.url, content=b"{}")
        assert type(caught.value) is kind
        assert len(server.requests) == 1


async def test_a_reset_before_the_head_is_a_read_error() -> None:
    """The connection stood, so something may have been done: this is no ``ConnectError``."""
    async with serve(once(b"", reset=True)) as server, pool() as (client, _):
        with pytest.raises(httpx.ReadError):
            await client.post(server.url, content=b"{}")
        assert len(server.requests) == 1


async def test_a_refused_connection_is_a_connect_error() -> None:
    """Nothing was sent: another address may be tried."""
    async with pool() as (client, _):
        with pytest.raises(httpx.ConnectError):
            await client.post(f"http://127.0.0.1:{free_port()}", content=b"{}")


async def test_a_name_that_does_not_resolve_is_a_connect_error() -> None:
    """The same for the resolver's no."""
    async with pool() as (client, _):
        with pytest.raises(httpx.ConnectError):
            await client.get("http://no-such-host.invalid/")


async def test_a_connection_that_does_not_come_about_is_a_connect_timeout() -> None:
    """A full backlog takes no connection and refuses none."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with pool() as (client, _):
            with pytest.raises(httpx.ConnectTimeout):
                await client.post(
                    f"http://127.0.0.1:{full.getsockname()[1]}",
                    content=b"{}",
                    timeout=httpx.Timeout(30, connect=0.05),
                )
        for filler in fillers:
            filler.close()


async def test_a_slow_head_is_a_read_timeout() -> None:
    """The connection stands and nothing comes."""
    async with serve(answering(b"HTTP/1.1 200")) as server, pool() as (client, _):
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.url, timeout=httpx.Timeout(30, read=0.05))
        await server.until(lambda: server.open == 0)


async def test_silence_in_the_body_is_a_read_timeout() -> None:
    """The same clock between two reads."""
    async with serve(answering(CHUNKED + b"1\r\na\r\n")) as server, pool() as (client, _):
        with pytest.raises(httpx.ReadTimeout):
            await client.get(server.url, timeout=httpx.Timeout(30, read=0.05))
        await server.until(lambda: server.open == 0)


async def test_a_full_pool_is_a_pool_timeout_and_a_freed_slot_is_taken() -> None:
    """Waiting has a clock of its own; nothing was sent when it strikes."""
    async with serve(answering(CHUNKED)) as server, pool(limit=1) as (client, transport):
        held = await client.send(client.build_request("GET", server.url), stream=True)
        with pytest.raises(httpx.PoolTimeout):
            await client.get(server.url, timeout=httpx.Timeout(30, pool=0))
        assert len(server.requests) == 1
        waiting = asyncio.create_task(
            client.send(client.build_request("GET", server.url), stream=True)
        )
        await until(lambda: transport.slots.waiting == 1)
        await held.aclose()
        await (await waiting).aclose()


@pytest.mark.parametrize(
    "body",
    [b"5\r\nab", b"5\r\nabcde", b"5\r\nabcde\r\n", b"5\r\nabcde\r\n0\r\n", b"5\r\nabcde\r\nzz\r\n"],
    ids=["in a chunk", "before its end", "no last chunk", "half a last chunk", "bad size"],
)
async def test_a_chunked_body_cut_short_is_a_protocol_error(body: bytes) -> None:
    """A FIN is no end of a chunked body. What came before it is still handed out."""
    async with serve(once(CHUNKED + body)) as server, pool() as (client, _):
        got: list[bytes] = []
        with pytest.raises(httpx.RemoteProtocolError):
            await drain(client, server.url, got.append)
        assert b"abcde".startswith(b"".join(got))


async def test_what_came_before_a_failure_is_handed_out_first() -> None:
    """A FIN right behind the last bytes, read together with them, swallows none of them."""
    read = asyncio.Event()

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await asyncio.wait_for(read.wait(), 30)
        await peer.send(b"3\r\nabc\r\n")

    async with (
        serve(script) as server,
        pool() as (client, _),
        client.stream("GET", server.url) as response,
    ):
        read.set()
        await server.until(lambda: server.open == 0)
        for _ in range(50):  # both the bytes and the FIN are in before the first read
            await asyncio.sleep(0)
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"abc"
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)


async def test_framing_gone_wrong_in_mid_body_is_a_protocol_error() -> None:
    """While the read waits, too: it is not waited for for ever."""
    read = asyncio.Event()

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"3\r\nabc\r\n")
        await asyncio.wait_for(read.wait(), 30)
        await peer.send(b"zz\r\n3\r\ndef\r\n")
        await peer.left()

    async with (
        serve(script) as server,
        pool() as (client, _),
        client.stream("GET", server.url) as response,
    ):
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"abc"
        read.set()
        with pytest.raises(httpx.RemoteProtocolError):
            await asyncio.wait_for(anext(chunks), 30)


async def test_a_counted_body_cut_short_is_a_protocol_error() -> None:
    """Fewer bytes than announced."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
    async with serve(once(head)) as server, pool() as (client, _):
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(server.url)


@pytest.mark.parametrize(
    "head",
    [CHUNKED + b"3\r\nabc\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
     b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"],
    ids=["chunked", "counted", "until close"],
)  # fmt: skip
async def test_a_reset_in_the_body_is_a_read_error(head: bytes) -> None:
    """Also where the body would end with the connection: a reset is no such end."""

    async def script(peer: Peer, server: Server) -> None:
        server.requests.append(await peer.request())
        await peer.send(head)
        await until(lambda: len(server.requests) == 2)  # the client has read it
        peer.reset()

    async with serve(script) as server, pool() as (client, _):
        with pytest.raises(httpx.ReadError):
            await drain(client, server.url, server.requests.append)
        assert server.requests[1] == b"abc"


async def test_a_body_until_close_ends_with_the_connection() -> None:
    """Old, and still allowed; such a connection is not used again."""
    answer = b"HTTP/1.1 200 OK\r\n\r\nabc"
    async with serve(once(answer)) as server, pool() as (client, transport):
        assert (await client.get(server.url)).content == b"abc"
        assert transport.idle_connections == 0


async def test_a_connection_the_server_closed_while_idle_is_not_used() -> None:
    """Its FIN was seen: the next request gets a fresh one, a POST too."""
    async with serve(once(OK)) as server, pool() as (client, transport):
        for n in (1, 2, 3):
            assert (await client.post(server.url, content=b"{}")).content == b"ok"
            await server.until(lambda: server.open == 0)
            # The server has closed; wait until this side has read its FIN as well.
            await until(lambda: not alive(transport))
            assert server.connections == n


async def test_a_connection_reset_while_idle_is_no_news() -> None:
    """Nobody waits for it, so nothing is logged; the next request gets a fresh one."""
    headed, reset = asyncio.Event(), asyncio.Event()
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await asyncio.wait_for(headed.wait(), 30)
        await peer.send(b"2\r\nok\r\n0\r\n\r\n")
        await asyncio.wait_for(reset.wait(), 30)
        peer.reset()

    async with serve(script) as server, pool() as (client, transport):
        async with client.stream("GET", server.url) as response:
            headed.set()
            assert await response.aread() == b"ok"
        reset.set()
        await until(lambda: not alive(transport))
        assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 2
    gc.collect()
    assert complaints == []


async def test_a_post_that_meets_a_stale_connection_is_not_repeated() -> None:
    """The server closes as the request arrives: whether it acted on it nobody knows."""

    async def script(peer: Peer, server: Server) -> None:
        server.requests.append(await peer.request())
        await peer.send(OK)
        server.requests.append(await peer.request())

    async with serve(script) as server, pool() as (client, _):
        await client.post(server.url, content=b"1")
        with pytest.raises(httpx.ReadError):
            await client.post(server.url, content=b"2")
        assert len(server.requests) == 2


async def test_bytes_behind_an_answer_spoil_the_connection() -> None:
    """A second answer nobody asked for is never taken for the next request's."""
    twice = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
    async with serve(once(twice)) as server, pool() as (client, _):
        assert (await client.get(server.url)).content == b"ok"
        assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 2


async def test_interim_answers_are_passed_over() -> None:
    """1xx heads come before the answer and are none."""
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    async with serve(answering(early, OK)) as server, pool() as (client, _):
        assert (await client.get(server.url)).content == b"ok"


async def test_a_cookie_never_travels_on_a_later_request() -> None:
    """One tenant's answer would mark another tenant's question."""
    sets = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with serve(answering(sets)) as server, pool() as (client, _):
        for _ in range(2):
            assert (await client.get(server.url)).headers["set-cookie"] == "a=b; Path=/"
        assert b"cookie" not in b"".join(server.requests).lower()


async def test_a_redirect_is_an_answer_and_not_followed() -> None:
    """Where a call goes is the gateway's to say."""
    moved = b"HTTP/1.1 307 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with serve(answering(moved)) as server, pool() as (client, _):
        assert (await client.post(server.url, content=b"{}")).status_code == 307
        assert len(server.requests) == 1


async def test_a_proxy_from_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from one place, and that is not here."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with serve(answering(OK)) as server, pool() as (client, _):
        assert (await client.get(server.url)).content == b"ok"


async def test_compressed_bytes_stay_as_they_came() -> None:
    """Relayed bytes are not ours to unpack."""
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
    async with serve(answering(packed)) as server, pool() as (client, _):
        async with client.stream("GET", server.url) as response:
            assert b"".join([chunk async for chunk in response.aiter_raw()]) == b"nope"
        assert b"accept-encoding: identity" in server.requests[0].lower()


async def test_nothing_but_the_allow_list_is_sent() -> None:
    """Neither library adds a header of its own."""
    async with serve(answering(OK)) as server, pool() as (client, _):
        await client.post(server.url, content=b"{}")
        lines = server.requests[0].partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        names = [line.partition(b":")[0].decode().lower() for line in lines]
        assert set(names) <= CORE_REQUEST_HEADERS
        assert len(names) == len(set(names))


async def test_the_path_and_query_arrive_as_given() -> None:
    """No second round of quoting."""
    async with serve(answering(OK)) as server, pool() as (client, _):
        await client.get(f"{server.url}/a%2Fb?cursor=%2B%20x&limit=1")
        assert server.requests[0].startswith(b"GET /a%2Fb?cursor=%2B%20x&limit=1 HTTP/1.1\r\n")


async def test_who_asks_is_told_when_the_request_went_out() -> None:
    """Before the head is there, and not before the connection is."""
    went_out = asyncio.Event()

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await asyncio.wait_for(went_out.wait(), 30)
        await peer.send(OK)

    async with serve(script) as server, pool() as (_, transport):
        body = await ask(transport, server.url, on_sent=went_out.set)
        assert await body.whole(2) == b"ok"
        went_out.clear()
        with pytest.raises(httpx.ConnectError):
            await ask(transport, f"http://127.0.0.1:{free_port()}", on_sent=went_out.set)
        assert not went_out.is_set()


async def test_a_consumer_that_does_not_read_stops_the_peer() -> None:
    """Backpressure by pull: what is not asked for stays in the peer's hands."""
    blocked = asyncio.Event()
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    async def script(peer: Peer, server: Server) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        peer.writer.transport.set_write_buffer_limits(high=0)
        for _ in range(4096):  # 256 MiB: far more than any socket buffer
            peer.writer.write(piece)
            if peer.writer.transport.get_write_buffer_size() > 4 * len(piece):
                blocked.set()
                await peer.writer.drain()
            else:
                await asyncio.sleep(0)

    async with serve(script) as server, pool() as (client, _):
        async with client.stream("GET", server.url) as response:
            chunks = response.aiter_raw()
            await anext(chunks)
            await asyncio.wait_for(blocked.wait(), 60)
        await server.until(lambda: server.open == 0)


async def test_a_storm_of_cancelled_requests_leaks_nothing() -> None:
    """Clients leave a small pool at random moments: slots come back, sockets close."""
    chance = random.Random(11)

    async def script(peer: Peer, server: Server) -> None:
        while await peer.request():
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
            await peer.send(CHUNKED)
            for _ in range(chance.randrange(4)):
                await peer.send(b"3\r\nabc\r\n")
                await asyncio.sleep(0)
            if chance.random() < 0.5:
                await peer.send(b"0\r\n\r\n")

    async with serve(script) as server, pool(limit=5) as (client, transport):

        async def ask() -> None:
            async with client.stream("POST", server.url, content=b"{}", timeout=None) as response:
                async for _ in response.aiter_raw():
                    pass

        running: set[asyncio.Task[None]] = set()
        for _ in range(1500):
            running.add(asyncio.create_task(ask()))
            await asyncio.sleep(0)
            if len(running) > 20:
                task = chance.choice(sorted(running, key=id))
                task.cancel()
                await asyncio.wait([task])
                running.discard(task)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        assert (transport.slots.in_use, transport.slots.waiting) == (0, 0)
        await server.until(lambda: server.open == transport.idle_connections)
        assert transport.idle_connections <= 5
        # And the pool still serves.
        async with client.stream("POST", server.url, content=b"{}") as response:
            assert response.status_code == 200


@pytest.mark.parametrize("framing", ["chunked", "until close", "counted"])
async def test_an_answer_read_whole_is_left_where_it_passes_its_limit(framing: str) -> None:
    """The peer could send for ever: what is held is the limit and one read, not what it sends."""
    piece, pieces = b"x" * 65536, 1024
    head = {
        "chunked": CHUNKED,
        "until close": b"HTTP/1.1 200 OK\r\n\r\n",
        "counted": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * pieces),
    }[framing]
    sent = 0

    async def sends_much(peer: Peer, server: Server) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(head)
        for _ in range(pieces):
            await peer.send(b"10000\r\n%b\r\n" % piece if framing == "chunked" else piece)
            sent += 1

    async with serve(sends_much) as server:
        transport = CoreTransport(limit=1)
        body = await ask(transport, server.url)
        assert await body.whole(100_000) is None
        body.close()
        await server.until(lambda: server.open == 0)
        # The rest stands in the two sockets' buffers at most.
        assert sent < pieces // 2
        assert transport.slots.in_use == 0
        await transport.aclose()


@pytest.mark.parametrize(("limit_bytes", "expected"), [(2, b"ok"), (1, None), (0, None)])
async def test_an_answer_as_long_as_its_limit_is_whole(
    limit_bytes: int, expected: bytes | None
) -> None:
    """To the byte."""
    async with serve(answering(OK)) as server:
        transport = CoreTransport(limit=1)
        body = await ask(transport, server.url)
        assert await body.whole(limit_bytes) == expected
        body.close()
        await transport.aclose()


async def test_a_connection_that_was_idle_too_long_is_not_taken_before_the_sweep() -> None:
    """The sweep runs once an interval; the server may have closed it meanwhile, and a question
    that meets a closed connection is not repeated."""
    async with serve(answering(OK)) as server, pool() as (client, transport):
        await client.get(server.url)
        (idle,) = transport._pool._kinds
        idle.idle_until_s = asyncio.get_running_loop().time()
        assert (await client.get(server.url)).content == b"ok"
        assert (server.connections, transport.open_connections) == (2, 1)
