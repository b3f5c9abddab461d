"""Limits over real workers and replicas: what is let in is what the limit says, come what may.

``LIMITS_LAST=60`` is the long form: each history lasts a minute in place of a quarter of one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest

from devstack.components import Running, S3Account
from gateway.adapters.s3_client import S3Access, S3Client
from tests.components import running_opa, running_redis, running_s3
from tests.contract.test_redis_away import far_away

from .clocks import clock_ahead
from .conftest import ENVIRONMENT
from .histories import ME, History, windows_above
from .raw import exchange, request
from .served import Served, served
from .stub_core import StubCore

COUNT, BURST = 120, 12
LIMIT = f"auth:me {COUNT}/m burst {BURST} per subject"
RATE_S = COUNT / 60
LASTS_S = float(os.environ.get("LIMITS_LAST", "15"))
# A short history is asked in few bunches: how well the last of them falls is a greater part of it.
LEAST = 0.95 if LASTS_S >= 60 else 0.9
KILLED_EVERY_S = max(LASTS_S / 6, 5.0)
LATENCY_MS = 50
AHEAD_S = 90
ACCOUNT = S3Account(ENVIRONMENT["GATEWAY_S3_ACCESS_KEY"], ENVIRONMENT["GATEWAY_S3_SECRET_KEY"])

pytestmark = pytest.mark.timeout(180 + 10 * LASTS_S)


def test_the_checker_finds_a_window_that_is_too_full() -> None:
    even = [(n / 2, n / 2 + 0.01) for n in range(40)]

    assert windows_above(even, 2.0, 1) == []
    assert windows_above(sorted([*even, (3.1, 3.11)]), 2.0, 1)
    assert windows_above(sorted([*even, (3.1, 3.11)]), 2.0, 1, [(3.05, 3.15)]) == []


def assert_as_the_limit_says(history: History, took_s: float) -> None:
    """Within five per cent above, ``LEAST`` of it at least, and in no window too many."""
    expected = BURST + RATE_S * took_s
    share = len(history.passed) / expected
    print(
        f"{len(history.asked)} asked in {took_s:.1f} s, {len(history.passed)} passed,"
        f" {share:.3f} of {expected:.0f}"
    )
    assert history.statuses == {200, 429}, history.broken
    assert windows_above(history.passed, RATE_S, BURST) == []
    assert LEAST <= share <= 1.05


async def test_two_workers_let_in_what_one_limit_says(core: StubCore, tmp_path: Path) -> None:
    history = History()
    async with served(core, tmp_path, workers=2, LIMITS=LIMIT) as running:
        took_s = await history.ask_in_bunches([running], lasts_s=LASTS_S, rate=RATE_S, burst=BURST)

    assert_as_the_limit_says(history, took_s)


@contextlib.asynccontextmanager
async def one_redis(folder: Path, latency_ms: int = 0) -> AsyncIterator[tuple[Running, str]]:
    """With the address that it is reached at."""
    (folder / "redis").mkdir()
    async with running_redis(folder / "redis") as redis:
        if not latency_ms:
            yield redis, redis.launch.address
            return
        async with far_away(redis.launch.address, folder, latency_ms) as address:
            yield redis, address


@contextlib.asynccontextmanager
async def two_replicas(
    core: StubCore, folder: Path, redis: str, *, ahead_s: int = 0, **more: str
) -> AsyncIterator[list[Served]]:
    """Of two workers each, that count in one Redis; the second one's clock is ahead."""
    # What a busy machine does to Redis's answers is no subject here.
    settings = {"LIMITS": LIMIT, "REDIS_TIMEOUT": "5s", "REDIS_URL": f"redis://{redis}", **more}
    for name in ("a", "b"):
        (folder / name).mkdir()
    async with (
        served(core, folder / "a", workers=2, **settings) as one,
        contextlib.AsyncExitStack() as stack,
    ):
        with clock_ahead(ahead_s):
            other = await stack.enter_async_context(
                served(core, folder / "b", workers=2, **settings)
            )
        yield [one, other]


async def test_two_replicas_let_in_what_one_limit_says(core: StubCore, tmp_path: Path) -> None:
    """Counted in one Redis, not once for each replica."""
    history = History()
    async with (
        one_redis(tmp_path) as (_, address),
        two_replicas(core, tmp_path, address) as replicas,
    ):
        took_s = await history.ask_in_bunches(replicas, lasts_s=LASTS_S, rate=RATE_S, burst=BURST)

    assert_as_the_limit_says(history, took_s)


async def test_kills_and_an_emptied_redis_give_no_more_than_a_burst(
    core: StubCore, tmp_path: Path
) -> None:
    """Redis is 50 ms away, workers are killed, and twice all is forgotten: a burst for each time,
    no more."""
    history = History()
    async with (
        one_redis(tmp_path, LATENCY_MS) as (redis, address),
        two_replicas(core, tmp_path, address) as replicas,
    ):
        await _asked_through_troubles(history, redis, replicas)

    _assert_a_burst_each(history)


@contextlib.asynccontextmanager
async def a_store_of_keys(folder: Path) -> AsyncIterator[str]:
    """Its address; ``folder`` is there."""
    async with running_s3(folder, account=ACCOUNT) as running:
        access = S3Access(
            running.launch.address, "us-east-1", ACCOUNT.access_key, ACCOUNT.secret_key, 30
        )
        client = S3Client(access)
        for name in ("documents", "gateway-keys"):
            client.sync.create_bucket(Bucket=name)
        client.close()
        yield running.launch.address


async def test_a_replica_whose_clock_is_ahead_lets_in_what_one_limit_says(
    core: StubCore, tmp_path: Path
) -> None:
    """By a minute and a half: Redis's clock is the one that counts, through all troubles too. With
    an API key, as a token from the other replica's future is good for nothing. An OPA server
    decides: beside what moves the clock, the embedded engine's WebAssembly fails now and then."""
    (tmp_path / "s3").mkdir()
    async with (
        one_redis(tmp_path, LATENCY_MS) as (redis, address),
        a_store_of_keys(tmp_path / "s3") as store,
        running_opa(tmp_path) as opa,
        two_replicas(
            *(core, tmp_path, address),
            ahead_s=AHEAD_S,
            S3_ENDPOINT=store,
            SERVICES_OPA=opa.launch.address,
        ) as replicas,
    ):
        assert _ahead_s(*replicas) >= AHEAD_S
        key = await _key(replicas[0])
        history = History(headers=key)
        took_s = await history.ask_in_bunches(replicas, lasts_s=LASTS_S, rate=RATE_S, burst=BURST)
        assert_as_the_limit_says(history, took_s)
        troubled = History(headers=key)
        await _asked_through_troubles(troubled, redis, replicas)

    _assert_a_burst_each(troubled)


def _ahead_s(one: Served, other: Served) -> float:
    """By when each says that it gave its token, one after the other."""
    said = [jwt.decode(each.token, options={"verify_signature": False}) for each in (one, other)]
    return float(said[1]["iat"] - said[0]["iat"])


async def _key(replica: Served) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {replica.token}", "Content-Type": "application/json"}
    body = json.dumps({"name": "k", "scopes": ["auth:me"]}).encode()
    made = await replica.send(request("POST", "/api/v1/keys", headers, body))
    assert made.status == 201, made.body
    return {"X-API-Key": made.json()["secret"]}


def _assert_a_burst_each(history: History) -> None:
    print(
        f"{len(history.asked)} asked, {history.lost} lost with their worker,"
        f" {len(history.passed)} passed, emptied {len(history.emptied)} times"
    )
    assert history.statuses == {200, 429}, history.broken
    assert len(history.emptied) == 2
    assert windows_above(history.passed, RATE_S, BURST, history.emptied) == []


async def _asked_through_troubles(history: History, redis: Running, replicas: list[Served]) -> None:
    troubles = asyncio.create_task(_trouble(history, redis, replicas))
    await history.ask_in_bunches(replicas, lasts_s=LASTS_S, rate=RATE_S, burst=BURST)
    await troubles


async def _trouble(history: History, redis: Running, replicas: list[Served]) -> None:
    """The last kill comes before the end; between kills, twice, Redis is emptied."""
    kills = int(LASTS_S / KILLED_EVERY_S) - 1
    for number in range(kills):
        replica = replicas[number % 2]
        await asyncio.sleep(KILLED_EVERY_S / 2)
        if number in (0, kills - 1):
            began = time.monotonic()
            await _flush(redis)
            history.emptied.append((began, time.monotonic()))
        await asyncio.sleep(KILLED_EVERY_S / 2)
        os.kill(replica.workers()[number // 2 % 2], signal.SIGKILL)
        await replica.said("worker died", number // 2 + 1)


async def _flush(redis: Running) -> None:
    host, _, port = redis.launch.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"FLUSHALL\r\n")
    assert await reader.readline() == b"+OK\r\n"
    writer.close()
    await writer.wait_closed()


async def test_both_workers_count_and_either_may_refuse(core: StubCore, tmp_path: Path) -> None:
    limits = "auth:me 2/d per subject"
    async with served(core, tmp_path, workers=2, LIMITS=limits) as running:
        headers = {"Authorization": f"Bearer {running.token}"}
        asking = request("GET", ME, headers)
        answers = [await exchange(running.address, asking) for _ in range(12)]

        assert [answer.status for answer in answers] == [200] * 2 + [429] * 10
        lines = [line for line in running.lines("request") if line["status"] == 429]
        assert {line["limit"] for line in lines} == {"auth:me/subject/d"}
        assert {line["principal"] for line in lines} == {"root"}
