"""When the time begins that a client has for its body, with a clock the test turns."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.policy_cache import CachedPolicy
from gateway.domain.policy import Decision, PolicyQuestion
from gateway.edge.wire.connections import LINGER_S
from gateway.edge.wire.protocol import GuardedProtocol
from gateway.errors import Unauthenticated
from gateway.flows.authenticate import Authenticator
from tests.certificates import Authority
from tests.certificates import client as trusting

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, read_answer, request
from .stub_core import StubCore
from .test_slow_clients import HEALTH, JSON, LATE, Turned, body_lacks, idle, until

BOTH_LOOPS = True


async def test_a_bodys_clock_begins_when_it_is_wanted(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the caller is looked up the gateway is late, and the client is not."""
    turned = Turned(gateway)
    bearer = await gateway.bearer()
    looking, found = asyncio.Event(), asyncio.Event()
    authenticate = Authenticator.authenticate

    async def slow(self: Authenticator, *asked: Any) -> Any:
        looking.set()
        await found.wait()
        return await authenticate(self, *asked)

    monkeypatch.setattr(Authenticator, "authenticate", slow)
    client = await turned.client()
    head = request("POST", "/api/v1/query", {**JSON, **bearer}, b"x" * 9)[:-9]
    await client.send(head, body_lacks(9))
    await looking.wait()
    turned.advance(40)
    found.set()
    await client.send(b"x" * 6, body_lacks(3))
    turned.advance(20)
    await client.send(b"x", body_lacks(2))
    turned.advance(11)
    assert await client.refused() == LATE


async def test_a_refused_bodys_clock_begins_with_the_refusal(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the gateway took to refuse, the client has its time to send the rest."""
    turned = Turned(gateway)
    looking, found = asyncio.Event(), asyncio.Event()

    async def slow(_: Authenticator, *__: Any) -> Any:
        looking.set()
        await found.wait()
        raise Unauthenticated

    monkeypatch.setattr(Authenticator, "authenticate", slow)
    client = await turned.client()
    head = request("POST", "/api/v1/query", {**JSON, "Authorization": "Bearer x"}, b"x" * 9)[:-9]
    await client.send(head, body_lacks(9))
    await looking.wait()
    turned.advance(29)
    found.set()
    async with asyncio.timeout(TIMEOUT_S):
        assert (await read_answer(client.reader)).status == 401
    turned.advance(29)
    await client.send(b"x" * 9, idle)
    client.writer.write(HEALTH)
    async with asyncio.timeout(TIMEOUT_S):
        assert (await read_answer(client.reader)).status == 200
    client.writer.close()


async def test_the_rest_of_a_body_too_large_has_the_same_time(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read to its end: a slow client may take longer than a connection ever lingers."""
    unread: list[object] = []
    linger = GuardedProtocol.linger

    async def noting(self: GuardedProtocol) -> None:
        unread.append(self.http.request_body)
        await linger(self)

    monkeypatch.setattr(GuardedProtocol, "linger", noting)
    turned = Turned(gateway)
    client = await turned.client()
    head = request("POST", "/auth/login", {**JSON, "Transfer-Encoding": "chunked"})
    client.writer.write(head + b"4001\r\n" + b"x" * 0x4000)
    async with asyncio.timeout(TIMEOUT_S):
        answer = await read_answer(client.reader)
    assert (answer.status, answer.header("connection")) == (413, "close")
    await until(lambda: not client.protocol.recv_buffer)
    turned.advance(10 * LINGER_S)
    client.writer.write(b"x\r\n0\r\n\r\n")
    assert await client.ends() == b""
    assert unread == [None]


async def test_a_late_body_asks_about_its_caller_no_second_time(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure behind the reading of a body runs none of the stages before it again."""
    turned = Turned(gateway)
    bearer = await gateway.bearer()
    asked: list[PolicyQuestion] = []
    decide = CachedPolicy.decide

    async def noting(self: CachedPolicy, question: PolicyQuestion) -> Decision:
        asked.append(question)
        return await decide(self, question)

    monkeypatch.setattr(CachedPolicy, "decide", noting)
    client = await turned.client()
    head = request("POST", "/api/v1/query", {**JSON, **bearer}, b"x" * 9)[:-9]
    await client.send(head + b"x", body_lacks(8))
    await until(lambda: client.protocol.http.waits_for_body)
    turned.advance(31)
    assert await client.refused() == LATE
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("framing", "late_s", "status"),
    [
        ({"Content-Length": "9"}, 31, 408),
        ({"Transfer-Encoding": "chunked"}, 31, 408),
        ({"Transfer-Encoding": "chunked"}, 0, 400),
    ],
)
async def test_over_tls_a_body_that_was_given_up_is_dropped_for_a_moment(
    core: StubCore, tmp_path: Path, framing: dict[str, str], late_s: float, status: int
) -> None:
    """Its client is still sending: a close at once would reset the answer on its way."""
    authority = Authority(tmp_path, "authority")
    pair = authority.issue("gateway")
    files = {"TLS_CERT_FILE": str(pair.cert), "TLS_KEY_FILE": str(pair.key)}
    async with running_gateway(core, trust=trusting(authority), **files) as gateway:
        turned = Turned(gateway)
        client = await turned.client()
        client.writer.write(request("POST", "/auth/login", {**JSON, **framing}))
        await until(lambda: client.protocol is not None and client.protocol.http.waits_for_body)
        turned.advance(late_s)
        client.writer.write(b"no chunk\r\n" if status == 400 else b"")
        async with asyncio.timeout(TIMEOUT_S):
            assert (await read_answer(client.reader)).status == status
        await until(lambda: client.protocol is None or client.protocol.lingering)
        client.writer.write(b"x" * 100_000)
        await until(lambda: client.protocol is None or client.protocol._discarded_bytes == 100_000)
        assert client.protocol is not None
        turned.advance(LINGER_S + 0.1)
        assert await client.ends() == b""
