"""Budgets that travel with limits, on a real Redis: one call, and nothing charged by a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.components import Running
from gateway.adapters.redis_state import RedisState
from gateway.adapters.redis_usage import RedisUsage
from gateway.domain.limits import Budget, Charge, Lease, Rate
from gateway.domain.usage import Account, KeyUse, Spent
from tests.components import running_redis

from .test_redis import access, ask, using

RATE = Rate(1, 3600.0, 5)
DAY = Account("subject/acme/ada/2027-01-15", 2_000_000_000)
MONTH = Account("subject/acme/ada/2027-01", 2_000_000_000)


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_redis(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def state(redis: Running) -> AsyncIterator[RedisState]:
    async with using(access(redis)) as one:
        yield one


async def test_a_spent_budget_charges_and_leases_nothing(state: RedisState) -> None:
    """All of a call passes or nothing is charged; what is left is told, and what is overspent."""
    usage = RedisUsage(state.calls, state.prefix)
    await usage.add(1, {DAY: Spent(60, 30, 5), MONTH: Spent(60, 30, 5)}, {})
    charges, leases = [Charge("a", RATE)], [Lease("a", 1)]
    for spent in ([Budget(DAY.key, 95)], [Budget(MONTH.key, 900), Budget(DAY.key, 90)]):
        *limits, last = await state.admit(charges, leases, spent)
        assert all(one.passed for one in limits[:2])
        assert (last.passed, last.left) == (False, spent[-1].most - 95)
    assert [one.left for one in await state.peek(charges, leases)] == [4, 0]

    passing = await state.admit(charges, leases, [Budget(DAY.key, 96), Budget(MONTH.key, 900)])

    assert [(one.passed, one.left) for one in passing] == [
        *((True, 4), (True, 0)),
        *((True, 1), (True, 805)),
    ]
    assert [one.left for one in await state.peek(charges, leases)] == [3, 0]


async def test_who_is_over_a_limit_is_told_of_his_budget_all_the_same(state: RedisState) -> None:
    charges = [Charge("a", Rate(1, 3600.0, 1))]
    first, second = [await state.admit(charges, (), [Budget(DAY.key, 9)]) for _ in range(2)]

    assert [one.passed for one in first] == [True, True]
    assert [(one.passed, one.left) for one in second] == [(False, 0), (True, 9)]


async def test_limits_and_budgets_are_one_call(redis: Running, state: RedisState) -> None:
    """However many there are; and a batch that left before it is in its answer."""
    usage = RedisUsage(state.calls, state.prefix)
    budgets = [Budget(DAY.key, 1000), Budget(MONTH.key, 1000)]
    await state.admit([Charge("a", RATE)], [Lease("a", 9)], budgets)
    await usage.add(1, {}, {})
    before = await scripts_run(redis)

    adding = asyncio.ensure_future(usage.add(2, {DAY: Spent(prompt=7)}, {}))
    await asyncio.sleep(0)
    outcomes = await state.admit([Charge("a", RATE)], [Lease("a", 9)], budgets)
    await adding

    assert [one.left for one in outcomes[2:]] == [993, 1000]
    assert await scripts_run(redis) - before == 2
    await usage.forget([DAY.key])
    (again,) = await state.admit([], [], [Budget(DAY.key, 5)])
    assert again.left == 5


async def test_a_batch_that_arrives_behind_the_next_one_counts_once(state: RedisState) -> None:
    """It was late on a connection that was given up, and was sent again over another one."""
    usage, use = RedisUsage(state.calls, state.prefix), KeyUse("acme/ada", "k")
    batches = [(9, 1_900_000_000), (10, 1_900_000_060), (9, 1_900_000_000), (10, 1_900_000_060)]
    for number, at in batches:
        await usage.add(number, {DAY: Spent(prompt=7)}, {use: at})
    assert await usage.read([DAY.key]) == [Spent(prompt=14)]
    assert await usage.last_used("acme/ada") == {"k": 1_900_000_060}
    await usage.add(11, {DAY: Spent(prompt=7)}, {})
    assert await usage.read([DAY.key]) == [Spent(prompt=21)]


async def scripts_run(redis: Running) -> int:
    told = (await ask(redis, "INFO", "commandstats")).decode()
    return int(told.partition("cmdstat_evalsha:calls=")[2].partition(",")[0])


async def test_a_batch_that_left_first_counts_on_a_new_connection_too(
    redis: Running, state: RedisState
) -> None:
    """Redis was started again and knows no script: none is sent a second time."""
    usage = RedisUsage(state.calls, state.prefix)
    await state.admit([], [], [Budget(DAY.key, 1000)])
    for number in range(3):
        await redis.child.stop()
        await redis.start_again()
        adding = asyncio.ensure_future(usage.add(number, {DAY: Spent(prompt=7)}, {}))
        await asyncio.sleep(0)
        (outcome,) = await state.admit([], [], [Budget(DAY.key, 1000)])
        await adding
        assert outcome.left == 993
