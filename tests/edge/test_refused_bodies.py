"""Bodies that are refused or long in coming: what is dropped, what is kept, whose time it is.

That the head alone decides a refusal is in ``test_heads_decide``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.edge.http import bodies
from gateway.edge.wire.body_limit import LINGER_BYTES
from tests.certificates import Authority, client

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, request
from .served import served
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk
from .test_auth_pipeline import api_key
from .test_heads_decide import (
    DECIDED,
    DOCUMENTS,
    FORM,
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


def sent_then_read(gateway: Gateway, data: bytes, more_bytes: int) -> bytes:
    """What a client finds that takes nothing of its answer before all is sent."""
    with contextlib.ExitStack() as closing:
        sock = closing.enter_context(socket.create_connection(gateway.address, TIMEOUT_S))
        if gateway.trust is not None:
            over_tls = gateway.trust.wrap_socket(sock, server_hostname="127.0.0.1")
            sock = closing.enter_context(over_tls)
        sock.sendall(data)
        for _ in range(more_bytes // MIB):
            sock.sendall(b"x" * MIB)
        return sock.recv(4096)


@pytest.mark.parametrize(
    "head", [head for head in DECIDED if head.status in (401, 403, 415)], ids=named
)
async def test_a_client_that_sends_all_before_it_reads_finds_its_refusal(
    gateway: Gateway, head: Head
) -> None:
    """Eight times the limit on body sizes is read and dropped: no reset overtakes the answer."""
    large = Head(head.name, head.target, head.status, head.headers, head.who, length=8 * MIB)
    seen = await asyncio.to_thread(
        sent_then_read, gateway, await begun(gateway, large, chunked=False), 8 * MIB
    )
    assert seen.startswith(b"HTTP/1.1 %d " % head.status)
    assert b"\r\nconnection: close\r\n" in seen


@pytest.mark.parametrize("length", [8 * MIB, 8 * 1024 * MIB])
async def test_over_tls_too_a_refusal_is_found_behind_what_was_sent(
    core: StubCore, tmp_path: Path, length: int
) -> None:
    """There no side can be closed alone; what is known to come is read for a moment, though."""
    authority = Authority(tmp_path, "authority")
    pair = authority.issue("gateway")
    files = {"TLS_CERT_FILE": str(pair.cert), "TLS_KEY_FILE": str(pair.key)}
    async with running_gateway(core, trust=client(authority), **files) as gateway:
        sent = request("POST", QUERY, {**JSON, "Content-Length": str(length)})
        seen = await asyncio.to_thread(sent_then_read, gateway, sent, 8 * MIB)
    assert seen.startswith(b"HTTP/1.1 401 ")


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
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(told.stdout) * 1024


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


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("target", "headers", "limit"), [(LOGIN, JSON, 16 * 1024), (DOCUMENTS, FORM, 64 * 1024)]
)
async def test_a_body_above_its_routes_limit_is_refused_however_it_comes(
    gateway: Gateway, talk: Talk, target: str, headers: dict[str, str], limit: int, chunked: bool
) -> None:
    """Also where the whole of it is there before anybody looks; a body of the limit is read."""
    for length, status in ((limit, 400), (limit + 1, 413)):
        head = Head("too much", target, status, headers, length=length)
        body = b" " * length
        framed = b"%x\r\n%b\r\n0\r\n\r\n" % (length, body) if chunked else body
        talk.writer.write(await begun(gateway, head, chunked) + framed)
        answer = await talk.answer()
        assert answer.status == status
    assert answer.header("connection") == "close"
    assert str(64 * 1024) in answer.body.decode() or target == LOGIN


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


@pytest.mark.parametrize(("waited_s", "status"), [(0.9, 200), (1.1, 401)])
async def test_a_caller_is_asked_about_again_after_a_second(
    gateway: Gateway, talk: Talk, monkeypatch: pytest.MonkeyPatch, waited_s: float, status: int
) -> None:
    """A body that came sooner costs no second look-up, and has no time to be misused."""
    key = await api_key(gateway, "alice", "query:run")
    gateway.core.sends(STREAM_HEAD + chunk(META + DONE) + END)
    now_s = [0.0]
    monkeypatch.setattr(bodies, "now_s", lambda: now_s[0])
    body = b'{"query": "hi"}'
    typed = {**JSON, **key, "Content-Length": str(len(body)), "Expect": "100-continue"}
    talk.writer.write(request("POST", QUERY, typed))
    assert await talk.first_line() == b"HTTP/1.1 100 Continue\r\n"
    assert await talk.first_line() == b"\r\n"
    key_id = key["X-API-Key"].split("_")[1]
    await gateway.client.delete(f"/api/v1/keys/{key_id}", headers=await gateway.bearer())
    gateway.clock.now += 6
    now_s[0] = waited_s
    talk.writer.write(body)
    assert (await talk.first_line()).startswith(b"HTTP/1.1 %d " % status)


async def test_a_caller_who_lost_a_right_meanwhile_is_refused(
    gateway: Gateway, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy is asked again, too."""
    monkeypatch.setattr(bodies, "ASK_AGAIN_AFTER_S", 0.0)
    body = b'{"filename": "a.txt", "content_type": "text/plain", "size": 5}'
    head = Head("an upload", DOCUMENTS, 403, JSON, length=len(body))
    talk.writer.write(await begun(gateway, head, chunked=False, Expect="100-continue"))
    assert await talk.first_line() == b"HTTP/1.1 100 Continue\r\n"
    reader = replace(gateway.users.users["alice"], roles=frozenset({"reader"}))
    monkeypatch.setitem(gateway.users.users, "alice", reader)
    assert await talk.first_line() == b"\r\n"
    talk.writer.write(body)
    assert (await talk.answer()).status == 403


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
