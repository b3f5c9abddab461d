"""The history of what two replicas of two workers let through, held against the limit.

Each worker is a process of its own, with the memory of its replica and one Redis for all. They ask
at random moments, together twice as often as the limit allows; what passed is written down with its
time, and no window of it may have more than the limit and its burst. How much has to be let through
is reckoned from what was asked: a busy machine asks less.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from gateway.adapters.fallback_state import FallbackState
from gateway.adapters.memory_state import MemoryState, SharedMemory
from gateway.adapters.redis_access import RedisAccess
from gateway.adapters.redis_state import RedisState
from gateway.domain.limits import Charge, Rate
from gateway.domain.when_away import ANNOUNCE_S
from gateway.ports import SharedState
from tests.components import running_redis
from tests.contract.state.worlds import Process
from tests.contract.test_redis_away import access, ask, far_away

LASTS_S = 10.0
WORKERS = 4
# The burst is a second of the rate: a machine that stands still for less costs no throughput.
RATE = Rate(60, 1.0, 60)
HOLDERS = 64


class Asked(NamedTuple):
    """When it was asked and answered, in seconds of the machine's clock; whether it passed."""

    sent: float
    found: float
    passed: bool


class Replica:
    """Its workers share memory; all replicas share a Redis. ``worlds.World`` for its processes."""

    def __init__(self, name: bytes, reached: RedisAccess) -> None:
        self._name, self._reached = name, reached
        self._memory = SharedMemory(HOLDERS)

    def worker(self) -> SharedState:
        loop = asyncio.get_running_loop()
        redis, memory = RedisState(lambda: self._reached, self._name), MemoryState(self._memory)
        state = FallbackState(redis, memory, loop.time, Random())
        self._watching = loop.create_task(state.run())
        return state

    async def close(self, worker: SharedState) -> None:
        raise AssertionError("its processes end by themselves")


async def asking(state: SharedState, tell: Callable[[str], object]) -> None:
    """At random moments, at half the limit's rate: four of these ask for twice the limit."""
    random = Random()
    every_s = RATE.interval_s * WORKERS / 2
    due = time.monotonic()
    while True:
        due += random.expovariate(1 / every_s)
        await asyncio.sleep(max(due - time.monotonic(), 0.0))
        sent = time.monotonic()
        (outcome,) = await state.admit([Charge("key", RATE)])
        tell(f"{sent!r}/{time.monotonic()!r}/{outcome.passed:d}")


class History:
    """Worker processes under way, what they were asked, and what they let through."""

    def __init__(self, replicas: list[Replica]) -> None:
        self._replicas = replicas
        self._running = [Process(replicas[n % len(replicas)], asking) for n in range(WORKERS)]
        self._told: list[str] = []

    async def kill_one(self, number: int) -> None:
        """With -9, at whatever instruction; another takes its place."""
        place = number % WORKERS
        killed = self._running[place]
        self._running[place] = Process(self._replicas[place % len(self._replicas)], asking)
        killed.kill()
        self._told += await asyncio.to_thread(killed.rest)

    async def end(self) -> list[Asked]:
        """By the time of the answer."""
        for one in self._running:
            one.kill()
        for one in self._running:
            self._told += await asyncio.to_thread(one.rest)
        lines = (line.split("/") for line in self._told if line.count("/") == 2)
        asked = (Asked(float(sent), float(at), passed == "1") for sent, at, passed in lines)
        return sorted(asked, key=lambda one: one.found)


def passed_of(asked: list[Asked]) -> list[Asked]:
    return [one for one in asked if one.passed]


def passing(asked: list[Asked]) -> int:
    """How many of these one limit lets through that nobody shares."""
    count, full_at = 0, 0.0
    for one in asked:
        after = max(full_at, one.found) + RATE.interval_s
        if after - one.found <= RATE.burst * RATE.interval_s:
            count, full_at = count + 1, after
    return count


def above(passed: list[Asked], slack_s: float) -> float:
    """By how many the fullest window is above what rate and burst allow."""
    lowest, most = float("inf"), 0.0
    for index, one in enumerate(passed):
        lowest = min(lowest, index - one.found / RATE.interval_s)
        most = max(most, index + 1 - one.found / RATE.interval_s - lowest)
    return most - RATE.burst - slack_s / RATE.interval_s


def longest(passed: list[Asked]) -> float:
    """The longest call: an answer may be seen so much later than it was decided."""
    return max(one.found - one.sent for one in passed)


async def test_two_replicas_let_through_the_limit_and_no_more(tmp_path: Path) -> None:
    """Within a twentieth of it over the whole time, and never above it in any window."""
    async with running_redis(tmp_path) as redis:
        reached = access(redis.launch.address)
        history = History([Replica(b"one", reached), Replica(b"two", reached)])
        await asyncio.sleep(LASTS_S)
        asked = await history.end()
    passed = passed_of(asked)
    assert above(passed, longest(passed)) <= 0
    lasted_s = passed[-1].found - passed[0].found
    allowed = min(RATE.burst + lasted_s / RATE.interval_s, passing(asked))
    assert len(passed) == pytest.approx(allowed, rel=0.05)


async def test_deaths_a_slow_way_and_an_emptied_redis_let_through_a_burst_each_at_most(
    tmp_path: Path,
) -> None:
    """A worker is killed every second, each answer is 50 ms late, and Redis forgets all twice."""
    async with (
        running_redis(tmp_path / "redis") as redis,
        far_away(redis.launch.address, tmp_path, 50) as listen,
    ):
        reached = access(listen)
        history = History([Replica(b"one", reached), Replica(b"two", reached)])
        for second in range(int(LASTS_S)):
            await asyncio.sleep(1.0)
            await history.kill_one(second)
            if second in (3, 6):
                await ask(redis.launch.address, "FLUSHALL")
        asked = await history.end()
    passed = passed_of(asked)
    assert above(passed, longest(passed)) <= 2 * RATE.burst
    assert len(passed) >= 0.9 * min(LASTS_S / RATE.interval_s, passing(asked))


async def test_a_restart_of_redis_under_load_lets_through_a_burst_at_most(tmp_path: Path) -> None:
    """Stopped for two seconds, and empty when it is back: one burst for what it forgot, and none
    for its return."""
    async with running_redis(tmp_path) as redis:
        reached = access(redis.launch.address)
        history = History([Replica(b"one", reached), Replica(b"two", reached)])
        # Until each replica has said twice that it is there, and so heard of the other.
        await asyncio.sleep(ANNOUNCE_S + 1.0)
        await redis.child.stop()
        lost = time.monotonic()
        await asyncio.sleep(2.0)
        await redis.start_again()
        await asyncio.sleep(LASTS_S)
        asked = await history.end()
    passed, later = passed_of(asked), [one for one in asked if one.sent > lost]
    since = passed_of(later)
    assert above(since, longest(since)) <= 0
    assert above(passed, longest(passed)) <= RATE.burst
    with contextlib.suppress(IndexError):
        allowed = (since[-1].found - since[0].found) / RATE.interval_s
        assert len(since) >= 0.8 * min(allowed, passing(later))
