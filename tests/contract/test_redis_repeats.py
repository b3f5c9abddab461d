"""What is remembered of requests with a key, in a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.components import Running
from gateway.adapters.redis_access import RedisAccess
from gateway.adapters.redis_repeats import RedisRepeats
from gateway.domain.repeats import Asked, Claim, KeptAnswer, asked
from gateway.errors import SharedStateUnavailable
from tests.components import running_redis

from .test_redis import access, ask, asked_by, cancel_in

LONG_S, DAY_S = 60.0, 86_400.0
WHAT = asked(
    tenant="acme",
    subject="ada-the-caller",
    method="POST",
    route="documents",
    key="a-key-of-hers",
    target="/documents?",
    body=b'{"filename":"secret-plans.txt"}',
)
OTHER_BODY = Asked(WHAT.name, "another")
ANSWER = KeptAnswer(202, b'{"document_id":"d"}')


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_redis(tmp_path) as running:
        yield running


def store(redis: Running, **more: object) -> RedisRepeats:
    one: RedisAccess = access(redis, **more)  # type: ignore[arg-type]
    return RedisRepeats(lambda: one)


@pytest.fixture
async def repeats(redis: Running) -> AsyncIterator[RedisRepeats]:
    one = store(redis)
    yield one
    await one.aclose()


async def claim(
    repeats: RedisRepeats, new_id: str, what: Asked = WHAT, lock_s: float = LONG_S
) -> Claim:
    return await repeats.claim(what, new_id, f"owner-{new_id}", lock_s=lock_s, kept_s=DAY_S)


async def test_of_fifty_who_ask_at_once_one_is_first(redis: Running) -> None:
    """Over several connections: the others hear that somebody is at it."""
    workers = [store(redis) for _ in range(5)]
    found = await asyncio.gather(*(claim(workers[n % 5], f"id-{n}") for n in range(50)))
    for worker in workers:
        await worker.aclose()
    states = [one.state for one in found]
    assert (states.count("first"), states.count("busy")) == (1, 49)


async def test_what_was_made_is_told_with_its_id_and_answer(repeats: RedisRepeats) -> None:
    """The first answer stays, also where a slow owner comes to its end later."""
    first = await claim(repeats, "one")
    await repeats.made(WHAT, first.id, ANSWER, kept_s=DAY_S)
    await repeats.made(WHAT, "two", KeptAnswer(500), kept_s=DAY_S)
    assert await claim(repeats, "three") == Claim("made", "one", ANSWER)
    assert (await claim(repeats, "four", OTHER_BODY)).state == "other"


async def test_a_claim_is_over_by_itself_and_its_id_stays(repeats: RedisRepeats) -> None:
    """Its owner may have been killed in the middle: who comes next completes the same thing."""
    await claim(repeats, "one", lock_s=0.05)
    async with asyncio.timeout(LONG_S):
        while (found := await claim(repeats, "two")).state == "busy":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert found == Claim("again", "one")
    assert (await claim(repeats, "three")).state == "busy"
    assert (await claim(repeats, "three", OTHER_BODY)).state == "other"


async def test_a_claim_that_is_given_back_leaves_its_id_or_nothing(repeats: RedisRepeats) -> None:
    """Nothing where nothing was begun; and only the owner's own claim."""
    await claim(repeats, "one")
    repeats.give_back(WHAT, "somebody-else", forget=True)
    assert (await claim(repeats, "two")).state == "busy"
    repeats.give_back(WHAT, "owner-one", forget=False)
    assert await claim(repeats, "three") == Claim("again", "one")
    repeats.give_back(WHAT, "owner-three", forget=True)
    assert await claim(repeats, "four") == Claim("first", "four")


async def test_who_leaves_while_asking_leaves_no_claim(
    redis: Running, repeats: RedisRepeats
) -> None:
    """Redis is frozen, the caller cancelled; when Redis goes on, the next one is the first."""
    await claim(repeats, "warm", Asked("warm", "x"))
    redis.child.freeze()
    asking = asyncio.create_task(claim(repeats, "one"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    redis.child.thaw()
    async with asyncio.timeout(LONG_S):
        while (found := await claim(repeats, "two")).state == "busy":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert found.state == "first"


async def test_who_leaves_as_the_claim_arrives_leaves_none(repeats: RedisRepeats) -> None:
    """The answer is there, its caller has not run since: at each of the loop's steps."""
    left = set()
    for steps in range(12):
        what = Asked(f"key-{steps}", "x")
        asking = asyncio.create_task(claim(repeats, "one", what))
        answer = await asked_by(repeats._calls)
        answer.add_done_callback(lambda _, steps=steps, task=asking: cancel_in(steps, task))
        (found,) = await asyncio.gather(asking, return_exceptions=True)
        left.add(isinstance(found, asyncio.CancelledError))
        expected = "first" if isinstance(found, asyncio.CancelledError) else "busy"
        assert (await claim(repeats, "two", what)).state == expected, steps
    assert left == {True, False}


async def test_everything_has_an_expiry_and_says_nothing_of_the_caller(
    redis: Running, repeats: RedisRepeats
) -> None:
    """A claim as well as what was made; neither caller, key, nor body can be read."""
    await claim(repeats, "one")
    await claim(repeats, "two", Asked("other", "x"))
    await repeats.made(WHAT, "one", ANSWER, kept_s=DAY_S)
    for name in (WHAT.name, "other"):
        left_ms = int((await ask(redis, "PTTL", f"kbg:i:{name}")).strip(b":\r\n"))
        assert 0 < left_ms <= DAY_S * 1000
        told = await ask(redis, "HGETALL", f"kbg:i:{name}")
        for secret in (b"ada-the-caller", b"a-key-of-hers", b"secret-plans"):
            assert secret not in told
    assert b"kbg:i:" in await ask(redis, "KEYS", "*")


async def test_without_redis_it_cannot_be_known(redis: Running, repeats: RedisRepeats) -> None:
    """Stopped: refused at once. Back again: as before."""
    await claim(repeats, "one", Asked("before", "x"))
    await redis.child.stop()
    with pytest.raises(SharedStateUnavailable):
        await claim(repeats, "one")
    with pytest.raises(SharedStateUnavailable):
        await repeats.made(WHAT, "one", ANSWER, kept_s=DAY_S)
    await redis.start_again()
    assert (await claim(repeats, "one")).state == "first"


async def test_a_strange_record_is_no_answer(redis: Running, repeats: RedisRepeats) -> None:
    """Somebody else wrote there: nothing is made for it, and nothing breaks."""
    name = f"kbg:i:{WHAT.name}"
    await ask(redis, "SET", name, "text")
    with pytest.raises(SharedStateUnavailable):
        await claim(repeats, "one")
    await ask(redis, "DEL", name)
    await ask(redis, "HSET", name, "print", WHAT.fingerprint, "status", "x", "id", "i")
    with pytest.raises(SharedStateUnavailable):
        await claim(repeats, "one")
