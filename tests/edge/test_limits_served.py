"""Limits over real workers and replicas: what is let in is what the limit says, come what may."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

from devstack.components import Running
from tests.components import running_redis

from .histories import ME, History, windows_above
from .raw import exchange, request
from .served import Served, served
from .stub_core import StubCore

COUNT, BURST = 120, 12
LIMIT = f"auth:me {COUNT}/m burst {BURST} per subject"
RATE_S = COUNT / 60
LASTS_S = 15.0


def test_the_checker_finds_a_window_that_is_too_full() -> None:
    even = [(n / 2, n / 2 + 0.01) for n in range(40)]

    assert windows_above(even, 2.0, 1) == []
    assert windows_above(sorted([*even, (3.1, 3.11)]), 2.0, 1)
    assert windows_above(sorted([*even, (3.1, 3.11)]), 2.0, 1, [(3.05, 3.15)]) == []


def assert_as_the_limit_says(history: History, took_s: float) -> None:
    """Within five per cent above, ten below, and in no window too many."""
    assert history.statuses == {200, 429}
    assert windows_above(history.passed, RATE_S, BURST) == []
    expected = BURST + RATE_S * took_s
    assert 0.9 * expected <= len(history.passed) <= 1.05 * expected


async def test_two_workers_let_in_what_one_limit_says(core: StubCore, tmp_path: Path) -> None:
    history = History()
    async with served(core, tmp_path, workers=2, LIMITS=LIMIT) as running:
        took_s = await history.ask_in_bunches([running], lasts_s=LASTS_S, rate=RATE_S, burst=BURST)

    assert_as_the_limit_says(history, took_s)


@contextlib.asynccontextmanager
async def two_replicas(core: StubCore, folder: Path) -> AsyncIterator[tuple[Running, list[Served]]]:
    """Of two workers each, that count in one Redis; with that Redis."""
    for name in ("redis", "a", "b"):
        (folder / name).mkdir()
    # What a busy machine does to Redis's answers is no subject here.
    settings = {"LIMITS": LIMIT, "REDIS_TIMEOUT": "5s"}
    async with running_redis(folder / "redis") as redis:
        settings["REDIS_URL"] = f"redis://{redis.launch.address}"
        async with (
            served(core, folder / "a", workers=2, **settings) as one,
            served(core, folder / "b", workers=2, **settings) as other,
        ):
            yield redis, [one, other]


async def test_two_replicas_let_in_what_one_limit_says(core: StubCore, tmp_path: Path) -> None:
    """Counted in one Redis, not once for each replica."""
    history = History()
    async with two_replicas(core, tmp_path) as (_, replicas):
        took_s = await history.ask_in_bunches(replicas, lasts_s=LASTS_S, rate=RATE_S, burst=BURST)

    assert_as_the_limit_says(history, took_s)


async def test_kills_and_an_emptied_redis_give_no_more_than_a_burst(
    core: StubCore, tmp_path: Path
) -> None:
    """Workers are killed, and twice Redis forgets everything: a burst for each time, no more."""
    history = History()
    async with two_replicas(core, tmp_path) as (redis, replicas):
        troubles = asyncio.create_task(_trouble(history, redis, replicas))
        await history.ask_in_bunches(replicas, lasts_s=LASTS_S, rate=RATE_S, burst=BURST)
        await troubles

    assert history.statuses == {200, 429}
    assert len(history.emptied) == 2
    assert windows_above(history.passed, RATE_S, BURST, history.emptied) == []


async def _trouble(history: History, redis: Running, replicas: list[Served]) -> None:
    for replica in replicas:
        await asyncio.sleep(LASTS_S / 5)
        os.kill(replica.workers()[0], signal.SIGKILL)
        await asyncio.sleep(LASTS_S / 5)
        began = time.monotonic()
        await _flush(redis)
        history.emptied.append((began, time.monotonic()))


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
