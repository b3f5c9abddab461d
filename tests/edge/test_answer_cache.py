"""Answers that need not be made twice: what clients see of them, and what holds all the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.sse import CONNECTED
from gateway.edge.context import context_of
from gateway.flows.answer_stream import Query
from tests.components import running_redis

from .conftest import Gateway, Streaming, running_gateway
from .doors import CHAT, chat_question
from .raw import exchange, read_head, request
from .revised_core import RevisedCore, revised_core
from .served import served
from .sockets import signed_in
from .stub_core import DONE, META, TOKEN
from .test_limits import counted, status_of_asking
from .test_quotas import until_used, usage_event

HIT, MISS = "kb-gateway; hit; ttl=3600", "kb-gateway; fwd=miss"
ANSWER = {"answer": "hello", "query_id": "q-1", "finish_reason": "stop"}
ID = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a busy machine takes to tell a revision is no subject here."""
    monkeypatch.setattr("gateway.flows.corpus_revisions.WAIT_S", 60.0)


@contextlib.asynccontextmanager
async def keeping(**settings: str) -> AsyncIterator[tuple[Gateway, RevisedCore]]:
    async with revised_core() as core:
        settings = {"ANSWER_CACHE_TTL": "1h", **settings}
        async with running_gateway(core, **settings) as gateway:
            yield gateway, core


async def streamed(gateway: Gateway, who: str = "alice", **headers: str) -> tuple[str, bytes]:
    """``Cache-Status`` and the whole body of an answer as a stream."""
    stream = await gateway.asking(credential=await gateway.bearer(who), **headers)
    assert stream.status == 200
    body = await rest(stream)
    await settled(gateway)
    return stream.headers.get("cache-status", ""), body


async def rest(stream: Streaming) -> bytes:
    """Whatever is left of it; then its client hangs up."""
    try:
        return await stream.rest()
    finally:
        stream.writer.close()


def kept_by(gateway: Gateway) -> Any:
    query: Any = context_of(gateway.app).provided[Query]
    return query.answers


async def settled(gateway: Gateway) -> None:
    """What came of the last answer is kept by now, or is not."""
    answers = kept_by(gateway)
    while answers is not None and answers.under_way:
        await asyncio.wait(set(answers.under_way.values()))


async def whole(gateway: Gateway, **body: object) -> tuple[str, dict[str, Any]]:
    """The same of one document of JSON."""
    asked = {"query": "hi", "stream": False, **body}
    answer = await gateway.client.post("/api/v1/query", json=asked, headers=await gateway.bearer())
    assert answer.status_code == 200, answer.text
    await settled(gateway)
    return answer.headers.get("Cache-Status", ""), answer.json()


async def test_an_answer_is_replayed_through_every_door() -> None:
    """As a stream, as JSON and on a socket; the core is asked once."""
    async with keeping() as (gateway, core):
        assert await streamed(gateway) == (MISS, CONNECTED + META + TOKEN + DONE)
        assert await streamed(gateway) == (HIT, CONNECTED + META + TOKEN + DONE)
        status, found = await whole(gateway)
        assert (status, found | ANSWER) == (HIT, found)
        async with signed_in(gateway) as socket:
            await socket.ask()
            told = await socket.answer()
            assert [one["event"] for one in told] == ["meta", "token", "done"]
            await socket.ask(stream=False)
            [answered] = await socket.answer()
            assert answered["data"] == found
        for stream in (False, True):
            body = json.dumps({**chat_question("hi"), "stream": stream}).encode()
            headers = {**await gateway.bearer(), "Content-Type": "application/json"}
            chat = await gateway.client.post(CHAT, content=body, headers=headers)
            assert (chat.headers["Cache-Status"], '"hello"' in chat.text) == (HIT, True)
        assert core.questions == [("acme", "alice")]


async def test_a_short_kept_answer_comes_in_one_piece() -> None:
    """Its length is known; the next request on the connection, also one sent with it, is answered,
    and one of HTTP/1.0 gets the same bytes."""
    async with keeping() as (gateway, _):
        _, made = await streamed(gateway)
        headers = {**await gateway.bearer(), "Content-Type": "application/json"}
        message = request("POST", "/api/v1/query", headers, b'{"query":"hi"}')
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(message * 3)
        for _ in range(3):
            _, head = await read_head(reader)
            assert dict(head)["content-length"] == str(len(made))
            assert await reader.readexactly(len(made)) == made
        writer.close()
        old = await exchange(gateway.address, message.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert (old.status, old.body) == (200, made)


async def test_one_made_as_json_is_replayed_as_a_stream() -> None:
    """Comments of the gateway's own are no part of it."""
    async with keeping() as (gateway, core):
        assert (await whole(gateway))[0] == MISS
        assert await streamed(gateway) == (HIT, CONNECTED + META + TOKEN + DONE)
        assert len(core.questions) == 1


async def test_nobody_gets_somebody_elses() -> None:
    """Neither a colleague nor a stranger."""
    async with keeping() as (gateway, core):
        for who in ("alice", "bob", "carol"):
            assert (await streamed(gateway, who))[0] == MISS
            assert (await streamed(gateway, who))[0] == HIT
        assert core.questions == [("acme", "alice"), ("acme", "bob"), ("other", "carol")]


async def test_a_request_may_go_past_it() -> None:
    """``no-cache`` and ``no-store`` as RFC 9111 has them; a conversation always does."""
    async with keeping() as (gateway, core):
        await streamed(gateway)
        past = "kb-gateway; fwd=request"
        assert (await streamed(gateway, **{"Cache-Control": "no-store"}))[0] == past
        assert (await streamed(gateway, **{"Cache-Control": "no-cache"}))[0] == past
        assert (await whole(gateway, conversation_id=ID))[0] == "kb-gateway; fwd=bypass"
        assert len(core.questions) == 4
        assert (await streamed(gateway))[0] == HIT


async def test_a_deletion_leaves_its_owners_answers_behind() -> None:
    """In the worker that made it, from its answer on."""
    async with keeping() as (gateway, core):
        await streamed(gateway)
        core.revision = "r2"
        gone = await gateway.client.delete(
            f"/api/v1/documents/{ID}", headers=await gateway.bearer()
        )
        assert gone.status_code == 204
        assert (await streamed(gateway))[0] == MISS
        core.revision = "r3"
        gateway.clock.now += 1.0
        assert (await streamed(gateway))[0] == MISS


async def test_a_core_without_revisions_is_never_cached() -> None:
    """What is told says why."""
    async with keeping() as (gateway, core):
        core.revision = None
        for _ in range(2):
            status, body = await streamed(gateway)
            assert status == "kb-gateway; fwd=bypass; detail=no-revision"
            assert body == CONNECTED + META + TOKEN + DONE
        assert (len(core.questions), core.asked_revision) == (2, 1)


async def test_without_a_time_to_live_nothing_is_kept_or_told() -> None:
    """The core is not asked for a revision either."""
    async with revised_core() as core, running_gateway(core) as gateway:
        assert [await streamed(gateway) for _ in range(2)] == [
            ("", CONNECTED + META + TOKEN + DONE)
        ] * 2
        assert (len(core.questions), core.asked_revision) == (2, 0)
        assert kept_by(gateway) is None


async def test_a_kept_answer_is_authorized_and_counted_as_any() -> None:
    """Without a credential there is none, and each one is charged to its limits."""
    async with keeping(LIMITS="query:run 60/m burst 3 per subject") as (gateway, core):
        assert [(await streamed(gateway))[0] for _ in range(3)] == [MISS, HIT, HIT]
        refused = await gateway.client.post(
            "/api/v1/query", json={"query": "hi"}, headers=await gateway.bearer()
        )
        assert (refused.status_code, "Cache-Status" in refused.headers) == (429, False)
        nobody = await gateway.client.post("/api/v1/query", json={"query": "hi"})
        assert nobody.status_code == 401
        assert len(core.questions) == 1


async def test_a_kept_answer_is_an_open_stream_until_its_client_has_it() -> None:
    """It holds its lease, waits for a slow client, and a drain ends it with the one event."""
    event = b"data: " + b"x" * 65536 + b"\n\n"
    sizes = {"ANSWER_CACHE_SIZE": "128MiB", "ANSWER_CACHE_ANSWER_LIMIT": "64MiB"}
    limits = {"LIMITS": "query:run 1 open per subject", **sizes}
    async with keeping(**limits) as (gateway, core):
        core.answer = (META, *[event] * 400, DONE)
        _, made = await streamed(gateway)
        slow = await gateway.asking()
        assert slow.headers["cache-status"] == HIT
        assert await status_of_asking(gateway) == 429
        draining = asyncio.ensure_future(gateway.drain())
        body = await rest(slow)
        await draining
        assert len(body) < len(made)
        assert body.endswith(b"\n\n")
        last = body.rsplit(b"\n\n", 2)[1]
        assert last.startswith(b"event: error\n")
        assert b'"DRAINING"' in last
        assert made.startswith(body.removesuffix(last + b"\n\n"))


async def test_who_asks_at_once_is_served_by_one_answer() -> None:
    """Over all doors; the head may go out before, and each gets the same bytes."""
    async with keeping(STREAM_EARLY_HEAD="10ms") as (gateway, core):
        core.go_on.clear()
        bearer = await gateway.bearer()
        first = await gateway.asking(credential=bearer)
        others = [await gateway.asking(credential=bearer) for _ in range(3)]
        answer = asyncio.ensure_future(whole(gateway))
        assert [one.headers["cache-status"] for one in others] == [f"{MISS}; collapsed"] * 3
        core.go_on.set()
        bodies = [await rest(one) for one in (first, *others)]
        assert set(bodies) == {CONNECTED + META + TOKEN + DONE}
        status, found = await answer
        assert (found | ANSWER, len(core.questions)) == (found, 1)
        assert status in (HIT, f"{MISS}; collapsed")


async def test_the_first_ones_leaving_ends_nobodys() -> None:
    """The next one asks, for all."""
    async with keeping(STREAM_EARLY_HEAD="10ms") as (gateway, core):
        core.go_on.clear()
        bearer = await gateway.bearer()
        first = await gateway.asking(credential=bearer)
        others = [await gateway.asking(credential=bearer) for _ in range(2)]
        core.asked.clear()
        first.writer.close()
        await core.asked.wait()
        core.go_on.set()
        for other in others:
            assert await rest(other) == CONNECTED + META + TOKEN + DONE
        assert len(core.questions) == 2


async def test_look_ups_are_counted() -> None:
    """As hits and misses of one more cache."""
    async with keeping() as (gateway, _):
        for _ in range(3):
            await streamed(gateway)
        assert counted(gateway, 'gateway_cache_lookups_total{cache="answer",result="hit"}') == 2
        assert counted(gateway, 'gateway_cache_lookups_total{cache="answer",result="miss"}') == 1


async def test_each_worker_keeps_its_own(tmp_path: Path) -> None:
    """The core makes an answer as often as there are workers, at most; all others are hits."""
    async with revised_core() as core, served(core, tmp_path, 2, ANSWER_CACHE_TTL="1h") as gateway:
        headers = {
            "Authorization": f"Bearer {gateway.token}",
            "Content-Type": "application/json",
        }
        message = request("POST", "/api/v1/query", headers, b'{"query":"hi"}')
        answers = [await exchange(gateway.address, message) for _ in range(40)]
        assert {answer.status for answer in answers} == {200}
        assert len({answer.body for answer in answers}) == 1
        said = Counter(answer.header("Cache-Status") for answer in answers)
        assert len(core.questions) <= 2 + said["kb-gateway; fwd=bypass; detail=no-revision"]


async def test_a_hit_is_charged_nothing(tmp_path: Path) -> None:
    """As the core made no answer; what was asked of it before and after is charged."""
    limits = {"LIMITS": "query:run 1000000 tokens/day per subject", "REDIS_TIMEOUT": "5s"}
    async with running_redis(tmp_path) as redis:
        url = f"redis://{redis.launch.address}"
        async with keeping(REDIS_URL=url, **limits) as (gateway, core):
            core.answer = (META, TOKEN, usage_event(70, 40), DONE)
            said = [(await streamed(gateway))[0] for _ in range(3)]
            assert said == [MISS, HIT, HIT]
            assert [(await whole(gateway))[0] for _ in range(2)] == [HIT, HIT]
            assert (await whole(gateway, query="another"))[0] == MISS
            day = await until_used(gateway, await gateway.bearer(), 220)
            assert day["estimated_tokens"] == 0
