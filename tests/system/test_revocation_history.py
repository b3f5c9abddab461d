"""Two replicas of two workers, a real object store, a real Redis: how late a revocation may be.

The rule is about time, so that a machine which is busy with something else could break it: for how
long this process was held up itself is added to what is allowed. ``REVOCATIONS=1000`` is the long
form.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devstack.components import Running, S3Account
from gateway.adapters.s3_client import S3Access, S3Client
from tests.components import running_redis, running_s3
from tests.edge.conftest import ENVIRONMENT
from tests.edge.served import Served, served, until
from tests.edge.stub_core import StubCore, stub_core

from .revocation_history import PATIENT_S, History, People, call, recording, some_of_each

REVOCATIONS = int(os.environ.get("REVOCATIONS", "60"))
TOLD_S, READ_S = 1.0, 5.0
WATCH_MORE_S = 0.5
AT_ONCE = 20
# A long history takes its time: 1,000 some eight minutes.
pytestmark = pytest.mark.timeout(180 + 2 * REVOCATIONS)
ACCOUNT = S3Account(ENVIRONMENT["GATEWAY_S3_ACCESS_KEY"], ENVIRONMENT["GATEWAY_S3_SECRET_KEY"])


@pytest.fixture
async def core() -> AsyncIterator[StubCore]:
    async with stub_core() as running:
        yield running


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[str]:
    folder = tmp_path / "s3"
    folder.mkdir()
    async with running_s3(folder, account=ACCOUNT) as running:
        client = S3Client(
            S3Access(running.launch.address, "us-east-1", *_credentials(), timeout_s=30)
        )
        for name in ("documents", "gateway-keys"):
            client.sync.create_bucket(Bucket=name)
        client.close()
        yield running.launch.address


def _credentials() -> tuple[str, str]:
    return ENVIRONMENT["GATEWAY_S3_ACCESS_KEY"], ENVIRONMENT["GATEWAY_S3_SECRET_KEY"]


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_redis(tmp_path / "redis") as running:
        yield running


@contextlib.asynccontextmanager
async def two_replicas(
    core: StubCore, folder: Path, store: str, people: People, **settings: str
) -> AsyncIterator[tuple[Served, Served]]:
    """Each with a users file of its own, as the machines of a cluster have them."""
    async with contextlib.AsyncExitStack() as stack:
        started = []
        for name in ("one", "two"):
            place = folder / name
            place.mkdir()
            people.write(place / "users.json")
            told = {**settings, "S3_ENDPOINT": store, "USERS_FILE": str(place / "users.json")}
            started.append(await stack.enter_async_context(served(core, place, 2, **told)))
        yield started[0], started[1]


def at_most(history: History, allowed_s: float) -> None:
    """The history's latest accepts, and how late they were, if one was later."""
    after = history.accepted_after()
    print(
        f"{history.revoked} revoked; {len(after)} accepted after their end,"
        f" at most {max(after, default=(0.0, 'none'))}; {len(history.asks)} questions;"
        f" this process paused for {history.pause_s:.3f} s"
    )
    assert [late for late in after if late[0] > allowed_s + history.pause_s] == []


async def test_none_is_accepted_a_second_after_it_was_revoked(
    core: StubCore, tmp_path: Path, store: str, redis: Running
) -> None:
    """Tokens and keys, by any worker of either replica, whichever of them was told."""
    people = People(REVOCATIONS)
    url = f"redis://{redis.launch.address}"
    async with two_replicas(core, tmp_path, store, people, REDIS_URL=url) as replicas:
        for replica in replicas:
            await replica.said("revocations are announced", 2)
        credentials = await some_of_each(people, replicas[0], REVOCATIONS)
        async with recording(*replicas) as history:
            await history.revoke(credentials, AT_ONCE, TOLD_S + WATCH_MORE_S)
    at_most(history, TOLD_S)
    assert history.revoked == REVOCATIONS


async def test_none_is_accepted_five_seconds_after_it_was_revoked_whatever_redis_does(
    core: StubCore, tmp_path: Path, store: str
) -> None:
    """It is killed in the midst of it, and started again, empty; then a second is enough again."""
    count = max(REVOCATIONS // 3, 10)
    people = People(3 * count)
    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(running_redis(tmp_path / "redis"))
        address = first.launch.address
        replicas = await stack.enter_async_context(
            two_replicas(core, tmp_path, store, people, REDIS_URL=f"redis://{address}")
        )
        for replica in replicas:
            await replica.said("revocations are announced", 2)
        credentials = await some_of_each(people, replicas[0], 3 * count)
        async with recording(*replicas) as history:
            while_up = asyncio.create_task(
                history.revoke(credentials[:count], AT_ONCE, READ_S + WATCH_MORE_S)
            )
            await until(lambda: len(history.asked) >= 10)
            await first.child.stop()
            for replica in replicas:
                await replica.said("revocations are not announced", 2)
            await while_up
            while_down = asyncio.create_task(
                history.revoke(credentials[count : 2 * count], AT_ONCE, READ_S + WATCH_MORE_S)
            )
            await until(lambda: len(history.asked) >= 10)
            port = {"port": address.rpartition(":")[2]}
            await stack.enter_async_context(running_redis(tmp_path / "again", port))
            await while_down
            for replica in replicas:
                await replica.said("revocations are announced", 4)
        at_most(history, READ_S)
        async with recording(*replicas) as history:
            await history.revoke(credentials[2 * count :], AT_ONCE, TOLD_S + WATCH_MORE_S)
        at_most(history, TOLD_S)


async def test_without_redis_none_is_accepted_five_seconds_after_it_was_revoked(
    core: StubCore, tmp_path: Path, store: str
) -> None:
    """And a worker that starts again, and a replica that does, knows what was ended before."""
    people = People(20)
    async with two_replicas(core, tmp_path, store, people) as replicas:
        credentials = await some_of_each(people, replicas[0], 20)
        async with recording(*replicas) as history:
            await history.revoke(credentials, AT_ONCE, READ_S + WATCH_MORE_S)
        at_most(history, READ_S)
        for pid in replicas[1].workers():
            os.kill(pid, 9)
        await replicas[1].said("worker ready", 4)
        for credential in credentials:
            assert (
                await call(replicas[1], "GET", "/api/v1/auth/me", credential.headers)
            ).status == 401
    place = tmp_path / "three"
    place.mkdir()
    people.write(place / "users.json")
    told = {"S3_ENDPOINT": store, "USERS_FILE": str(place / "users.json")}
    async with served(core, place, 1, **told) as third:
        for credential in credentials:
            assert (await call(third, "GET", "/api/v1/auth/me", credential.headers)).status == 401


async def test_a_user_removed_from_one_replicas_file_is_refused_by_the_other(
    core: StubCore, tmp_path: Path, store: str, redis: Running
) -> None:
    """Whose file still has the user: the token, the key and the login."""
    people = People(1)
    url = f"redis://{redis.launch.address}"
    async with two_replicas(core, tmp_path, store, people, REDIS_URL=url) as (one, two):
        for replica in (one, two):
            await replica.said("revocations are announced", 2)
        token = people.bearer("person0")
        made = await call(two, "POST", "/api/v1/keys", token, {"name": "k", "scopes": ["auth:me"]})
        key = {"X-API-Key": made.json()["secret"]}
        for credential in (token, key):
            assert (await call(two, "GET", "/api/v1/auth/me", credential)).status == 200
        people.write(tmp_path / "one" / "users.json", without="person0")
        for credential in (token, key):
            await _refused(two, credential)
        login = {"username": "person0", "password": "correct horse battery staple"}
        assert (await call(two, "POST", "/auth/login", {}, login)).status == 401
        # The file that arrives later, with a later edit, decides again.
        assert (await call(two, "GET", "/api/v1/auth/me", people.bearer("owner0"))).status == 200


async def _refused(replica: Served, credential: dict[str, str]) -> None:
    """By all its workers: on as many connections as reach each of them."""
    async with asyncio.timeout(PATIENT_S):
        refused = 0
        while refused < 12:
            answer = await call(replica, "GET", "/api/v1/auth/me", credential)
            refused = refused + 1 if answer.status == 401 else 0
