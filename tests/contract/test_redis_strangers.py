"""Something else under a key of ours, on a real Redis: it counts as nothing and makes room."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog

from devstack.components import Running
from gateway.adapters.redis_state import RedisState
from gateway.adapters.redis_usage import RedisUsage
from gateway.domain.limits import Budget, Charge, Lease, Penalty, Rate
from gateway.domain.usage import Account, KeyUse, Spent
from tests.components import running_redis

from .test_redis import access, ask, passed, using

RATE = Rate(1, 3600.0, 2)
PENALTY = Penalty(0, 60.0, 60.0, 600.0)
# What another program may have left there, by the command that writes it.
KINDS = {
    "text": ("SET", "hello"),
    "not a number": ("SET", "nan"),
    "a number that never expires": ("SET", "1e300"),
    "hash": ("HSET", "until", "soon", "failures", "many", "prompt", "some", "worker", "none"),
    "list": ("RPUSH", "one"),
    "set": ("SADD", "one"),
    "sorted set": ("ZADD", "1", "one"),
}


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_redis(tmp_path / "redis") as running:
        yield running


@pytest.fixture
async def state(redis: Running) -> AsyncIterator[RedisState]:
    async with using(access(redis)) as one:
        yield one


async def leave(redis: Running, kind: str, key: str) -> None:
    command, *words = KINDS[kind]
    await ask(redis, "DEL", key)
    assert not (await ask(redis, command, key, *words)).startswith(b"-")


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_stands_under_a_key_the_next_call_counts_there(
    redis: Running, state: RedisState, kind: str
) -> None:
    """Rates, leases, budgets, failures and replicas: no call fails, and the second one goes on."""
    usage = RedisUsage(state.calls, state.prefix)
    account, use = Account("subject/acme/ada/2027-01-15", 2_000_000_000), KeyUse("acme/ada", "k")
    counted = ("r:a", "l:a", "f:a", f"u:{account.key}", "u:keys:acme/ada", "replicas")
    for key in counted:
        await leave(redis, kind, f"kbg:{key}")
    asked = ([Charge("a", RATE)], [Lease("a", 2)], [Budget(account.key, 5)])

    assert [one.left for one in await state.peek([Charge("a", RATE)], [Lease("a", 2)])] == [1, 1]
    assert list(await state.wait_s(["a"])) == [0.0]
    assert [one.left for one in await state.admit(*asked)] == [1, 1, 5]
    assert list(await state.failed(["a"], PENALTY)) == [60.0]
    assert await usage.add(1, {account: Spent(prompt=3)}, {use: 7}) == 0
    assert await state.announce(15.0) == 1
    assert [one.left for one in await state.admit(*asked)] == [0, 0, 2]
    assert (await usage.read([account.key]))[0].prompt == 3
    assert dict(await usage.last_used("acme/ada")).get("k") == 7
    for key in counted:
        assert int((await ask(redis, "PTTL", f"kbg:{key}")).strip().removeprefix(b":")) > 0, key


async def test_leases_are_renewed_and_given_back_over_whatever_stands_there(
    redis: Running, state: RedisState
) -> None:
    for kind, renew in itertools.product(("text", "list"), (True, False)):
        await leave(redis, kind, "kbg:l:a")
        if renew:
            await state.renew({"a": 1})
        else:
            state.release(["a"])
        assert passed(await state.admit([], [Lease("a", 2)])) == [True]
        left = [one.left for one in await state.peek([], [Lease("a", 3)])]
        assert left == [0 if renew else 1], kind


async def test_it_is_told_once_with_the_keys_name(redis: Running, state: RedisState) -> None:
    """An operator is to find out who writes there; a request must not fill the log."""
    await leave(redis, "list", "kbg:r:a")
    await leave(redis, "text", "kbg:l:a")
    with structlog.testing.capture_logs() as told:
        for _ in range(3):
            await state.admit([Charge("a", RATE)], [Lease("a", 1)])

    assert [one["key"] for one in told] == ["kbg:r:a", "kbg:l:a"]
