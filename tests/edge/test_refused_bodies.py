"""Bodies that are refused or long in coming: what is dropped, what is kept, whose time it is.

That the head alone decides a refusal is in ``test_heads_decide``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.policy import Decision, PolicyQuestion
from gateway.edge.http import bodies
from gateway.edge.wire.body_limit import LINGER_BYTES
from tests.certificates import Authority, client

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, request
from .served import served
from .stub_core import StubCore
from .test_auth_pipeline import api_key
from .test_heads_decide import (
    DECIDED,
    JSON,
    LOGIN,
    MIB,
    QUERY,
    Head,
    Talk,
    begun,
    gateway,
    named,
    talk,
)
from .test_logs import Lines, lines, uncached

__all__ = ["gateway", "lines", "talk", "uncached"]

BOTH_LOOPS = True
pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- what is sent to somebody who does not want it --------------------------------------------


@pytest.mark.parametrize(
    "head", [head for head in DECIDED if head.status in (401, 403, 415)], ids=named
)
async def test_a_client_that_sends_all_before_it_reads_finds_its_refusal(
    gateway: Gateway, talk: Talk, head: Head
) -> None:
    """Eight times the limit on body sizes is read and dropped: no reset overtakes the answer."""
    large = Head(head.name, head.target, head.status, head.headers, head.who, length=8 * MIB)
    talk.writer.write(await begun(gateway, large, chunked=False))
    async with asyncio.timeout(TIMEOUT_S):
        for _ in range(8):
            talk.writer.write(b"x" * MIB)
            await talk.writer.drain()
    refused = await talk.answer()
    assert (refused.status, refused.header("connection")) == (head.status, "close")
    assert await talk.ends() == b""


@pytest.mark.parametrize("length", [8 * MIB, 8 * 1024 * MIB])
async def test_over_tls_too_a_refusal_is_found_behind_what_was_sent(
    core: StubCore, tmp_path: Path, length: int
) -> None:
    """There no side can be closed alone; what is known to come is read for a moment, though."""
    authority = Authority(tmp_path, "authority")
    pair = authority.issue("gateway")
    files = {"TLS_CERT_FILE": str(pair.cert), "TLS_KEY_FILE": str(pair.key)}
    async with running_gateway(core, trust=client(authority), **files) as gateway:
        talk = Talk(*await asyncio.open_connection(*gateway.address, ssl=gateway.trust))
        talk.writer.write(request("POST", QUERY, {**JSON, "Content-Length": str(length)}))
        async with asyncio.timeout(TIMEOUT_S):
            for _ in range(8):
                talk.writer.write(b"x" * MIB)
                await talk.writer.drain()
        assert (await talk.answer()).status == 401
        talk.writer.close()


async def test_what_an_unknown_caller_sends_without_end_is_cut_off(
    gateway: Gateway, talk: Talk
) -> None:
    """Chunks are dropped up to a limit, whatever they add up to, and then the connection ends."""
    head = Head("no credential", QUERY, 401, JSON, "nobody")
    talk.writer.write(await begun(gateway, head, chunked=True))
    assert (await talk.answer()).status == 401
    sent, piece = 0, b"10000\r\n%b\r\n" % (b"x" * 0x10000)
    with contextlib.suppress(ConnectionError):
        while sent < 8 * LINGER_BYTES:
            talk.writer.write(piece)
            async with asyncio.timeout(TIMEOUT_S):
                await talk.writer.drain()
            sent += len(piece)
    assert 0 < sent < 4 * LINGER_BYTES


def resident_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
async def test_bodies_of_unknown_callers_are_not_kept(core: StubCore, tmp_path: Path) -> None:
    """A hundred connections send a megabyte each, but for its last byte: nothing of it is held."""
    async with served(core, tmp_path, 1) as running:
        (pid,) = running.workers()
        before = resident_bytes(pid)
        talks: list[Talk] = []
        for n in range(100):
            talking = Talk(*await asyncio.open_connection(*running.address))
            talks.append(talking)
            method, target = [("POST", QUERY), ("POST", LOGIN), ("GET", "/healthz")][n % 3]
            talking.writer.write(request(method, target, {**JSON, "Content-Length": str(MIB)}))
            talking.writer.write(b"x" * (MIB - 1))
            async with asyncio.timeout(TIMEOUT_S):
                await talking.writer.drain()
        await running.get("/healthz")
        grown = resident_bytes(pid) - before
        statuses = {
            (await talking.answer()).status for n, talking in enumerate(talks) if n % 3 != 2
        }
        for talking in talks:
            talking.writer.close()
    assert statuses == {401, 413}
    assert grown < 30 * MIB, f"{grown / MIB:.0f} MiB"


# --- a body that is long in coming ------------------------------------------------------------


async def test_a_caller_whose_key_was_revoked_meanwhile_is_refused(
    gateway: Gateway, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow body is no way to use a key long after it was revoked."""
    monkeypatch.setattr(bodies, "ASK_AGAIN_AFTER_S", 0.0)
    key = await api_key(gateway, "alice", "query:run")
    body = b'{"query": "hi"}'
    typed = {**JSON, **key, "Content-Length": str(len(body)), "Expect": "100-continue"}
    talk.writer.write(request("POST", QUERY, typed))
    assert await talk.first_line() == b"HTTP/1.1 100 Continue\r\n"
    key_id = key["X-API-Key"].split("_")[1]
    revoked = await gateway.client.delete(f"/api/v1/keys/{key_id}", headers=await gateway.bearer())
    assert revoked.status_code == 204
    gateway.clock.now += 6
    assert await talk.first_line() == b"\r\n"
    talk.writer.write(body)
    refused = await talk.answer()
    assert (refused.status, refused.code) == (401, "UNAUTHENTICATED")


async def test_the_time_of_a_body_is_not_the_gateways(
    gateway: Gateway, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls to the store have their whole time still, however long the body took."""
    deadlines: list[float] = []
    create = gateway.keys.create

    async def noting(record: Any, deadline: float) -> None:
        deadlines.append(deadline)
        await create(record, deadline)

    monkeypatch.setattr(gateway.keys, "create", noting)
    body = b'{"name": "k", "scopes": ["auth:me"]}'
    head = Head("a key", "/api/v1/keys", 201, JSON, length=len(body))
    data = await begun(gateway, head, chunked=False, Expect="100-continue")
    monkeypatch.setattr(bodies, "now_s", itertools.count(1000.0, 900.0).__next__)
    talk.writer.write(data)
    assert await talk.first_line() == b"HTTP/1.1 100 Continue\r\n"
    assert await talk.first_line() == b"\r\n"
    talk.writer.write(body)
    assert (await talk.answer()).status == 201
    left_s = deadlines[0] - asyncio.get_running_loop().time()
    assert 900 - TIMEOUT_S < left_s <= 920


async def test_a_refusal_before_the_body_has_its_line(gateway: Gateway, lines: Lines) -> None:
    """One line, with the route, and not a byte of the body in it; the same of a late one."""
    headers = {**JSON, "Content-Length": "40", "X-Request-ID": "early"}
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("POST", QUERY, headers) + b"canary")
    assert (await Talk(reader, writer).answer()).status == 401
    writer.close()
    line = await lines.request("early")
    assert (line["route"], line["status"], line["error"]) == (QUERY, 401, "UNAUTHENTICATED")
    assert line["auth_reason"] == "missing"
    assert "canary" not in lines.text


async def test_a_caller_is_asked_about_once(
    gateway: Gateway, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failure behind the body's reading runs none of the stages before it again."""
    asked: list[PolicyQuestion] = []
    policy = gateway.app.ctx.gateway.ask_again.__self__._policy
    decide = policy.decide

    async def noting(question: PolicyQuestion) -> Decision:
        asked.append(question)
        decision: Decision = await decide(question)
        return decision

    monkeypatch.setattr(policy, "decide", noting)
    head = Head("half a body", QUERY, 400, JSON)
    talk.writer.write(await begun(gateway, head, chunked=False))
    talk.writer.write(b"half")
    talk.writer.write_eof()
    assert (await talk.answer()).status == 400
    assert len(asked) == 1
