"""What replicas tell one another through a real Redis, and what a reader notices that was lost."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from devstack.components import Running
from gateway.adapters import redis_announcements
from gateway.adapters.redis_announcements import RedisAnnouncements
from gateway.errors import SharedStateUnavailable
from gateway.ports import Heard
from tests.components import running_redis

from .test_redis import SHORT_S, access, ask


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_redis(tmp_path / "redis") as running:
        yield running


@contextlib.asynccontextmanager
async def using(redis: Running, timeout_s: float = 30.0) -> AsyncIterator[RedisAnnouncements]:
    one = RedisAnnouncements(lambda: access(redis, timeout_s))
    try:
        yield one
    finally:
        await one.aclose()


async def told(one: RedisAnnouncements, texts: Iterable[str]) -> None:
    for text in texts:
        await one.tell(text)


async def heard(one: RedisAnnouncements, position: str = "") -> Heard:
    return await one.hear(position, 0.0)


async def test_what_one_tells_others_hear_once_in_its_order(redis: Running) -> None:
    """Each has his own place; and whoever comes later hears what is still kept."""
    async with using(redis) as one, using(redis) as other:
        start = await heard(other)
        assert start.texts == ()
        await told(one, ["a", "b"])
        first = await heard(other, start.position)
        assert list(first.texts) == ["a", "b"]
        again = await heard(other, first.position)
        assert (again.texts, again.position, again.missed) == ((), first.position, False)
        await told(other, ["c"])
        third = await heard(other, first.position)
        assert (list(third.texts), third.missed) == (["c"], False)
        assert list((await heard(one)).texts) == ["a", "b", "c"]


async def test_more_than_is_given_at_once_is_heard_in_turns(
    redis: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it counts as missed."""
    monkeypatch.setattr(redis_announcements, "AT_ONCE", 3)
    async with using(redis) as one:
        await told(one, ["first"])
        position = (await heard(one)).position
        await told(one, map(str, range(7)))
        texts: list[str] = []
        for _ in range(3):
            found = await heard(one, position)
            assert not found.missed
            position = found.position
            texts += found.texts
        assert texts == list(map(str, range(7)))


async def test_who_is_too_slow_is_told_that_he_missed_something(
    redis: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the latest are kept: Redis's memory is bounded."""
    monkeypatch.setattr(redis_announcements, "KEPT", 3)
    async with using(redis) as one:
        await told(one, ["first"])
        position = (await heard(one)).position
        await told(one, map(str, range(5)))
        late = await heard(one, position)
        assert (list(late.texts), late.missed) == (["2", "3", "4"], True)


@pytest.mark.parametrize("since", [0, 1, 5])
async def test_an_emptied_redis_is_noticed(redis: Running, since: int) -> None:
    """Also when as much was told since as before: numbers begin anew with Redis's clock."""
    async with using(redis) as one:
        await told(one, map(str, range(5)))
        position = (await heard(one)).position
        await told(one, ["lost"])
        await ask(redis, "FLUSHALL")
        await told(one, map(str, range(since)))
        found = await heard(one, position)
        assert found.missed
        assert list(found.texts) == list(map(str, range(since)))
        assert not (await heard(one, found.position)).missed


async def test_everything_in_redis_expires(redis: Running) -> None:
    """A gateway that is gone leaves nothing behind for ever."""
    async with using(redis) as one:
        await told(one, ["a"])
    for key in ("kbg:told", "kbg:told:last"):
        assert int((await ask(redis, "TTL", key)).strip(b":\r\n")) > 3600


async def test_a_redis_that_is_away_says_nothing_and_is_no_silence(redis: Running) -> None:
    """Neither that all is quiet nor that it was told; and what was told before is still there."""
    async with using(redis, timeout_s=SHORT_S) as one:
        await told(one, ["before"])
        redis.child.freeze()
        with pytest.raises(SharedStateUnavailable):
            await one.tell("meanwhile")
        with pytest.raises(SharedStateUnavailable):
            await heard(one)
        redis.child.thaw()
        while True:
            with contextlib.suppress(SharedStateUnavailable):
                found = await heard(one)
                break
        assert "before" in found.texts


def test_what_somebody_else_wrote_there_is_passed_over() -> None:
    """What may have been told beside it stands in the store, which is then read."""
    heard_now = redis_announcements._heard(3, 5, [b"nonsense", b"5 a"])
    assert heard_now == Heard((), "5", missed=True)
