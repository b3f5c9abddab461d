"""One suite for every store of revocations: the fake of the unit tests, moto, and versitygw."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from gateway.adapters.s3_client import S3Client
from gateway.adapters.s3_revocations import PREFIX, S3Revocations
from gateway.domain.revocations import EndedToken, EndedTokens, text_of, token_mark
from gateway.errors import StorageUnavailable
from gateway.ports import RevocationStore
from tests.unit.identity_fakes import START, MemoryRevocations, MovableClock

from .test_key_store import (  # noqa: F401  # fixtures
    access,
    moto_client,
    moto_endpoint,
    new_bucket,
    soon,
    versitygw_client,
    versitygw_endpoint,
)

ONE = text_of(EndedToken(token_mark("one"), "ada", 0, int(START) + 60))
TWO = text_of(EndedTokens("ada", 1, int(START) + 3600))


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture(params=["memory", "moto", "versitygw"])
def store(request: pytest.FixtureRequest, clock: MovableClock) -> RevocationStore:
    if request.param == "memory":
        return MemoryRevocations(clock)
    client = request.getfixturevalue(f"{request.param}_client")
    return S3Revocations(client, new_bucket(client), clock.time)


async def test_what_was_added_is_listed(store: RevocationStore) -> None:
    """Also what was added twice, by two replicas or by one that tried again."""
    assert list(await store.list(0, soon())) == []
    for text in (ONE, TWO, ONE):
        await store.add(text, soon())
    assert set(await store.list(0, soon())) == {ONE, TWO}
    await store.check(soon())


async def test_what_is_new_is_listed_without_what_is_old(
    store: RevocationStore, clock: MovableClock
) -> None:
    """However much there is, and where clocks differ by some minutes."""
    await store.add(ONE, soon())
    clock.passed_s = 3600.0
    await store.add(TWO, soon())
    assert list(await store.list(clock.time(), soon())) == [TWO]
    assert list(await store.list(0, soon())) == [ONE, TWO]


async def test_what_is_over_is_removed(store: RevocationStore) -> None:
    """And nothing else."""
    for text in (ONE, TWO):
        await store.add(text, soon())
    assert await store.tidy(lambda text: text == ONE, soon()) == 1
    assert await store.tidy(lambda text: text == ONE, soon()) == 0
    assert list(await store.list(0, soon())) == [TWO]


@pytest.mark.parametrize("maker", ["moto", "versitygw"])
async def test_more_than_a_page_is_listed_and_removed(
    maker: str, request: pytest.FixtureRequest, clock: MovableClock
) -> None:
    """A store gives 1,000 names at a time; a list that ended there would forget the newest."""
    client: S3Client = request.getfixturevalue(f"{maker}_client")
    bucket = new_bucket(client)
    store = S3Revocations(client, bucket, clock.time)
    texts = [text_of(EndedTokens(f"user-{number}", 1, 1)) for number in range(1003)]
    for text in texts:
        client.sync.put_object(Bucket=bucket, Key=f"{PREFIX}{int(START):012d}.{text}", Body=b"")
    assert set(await store.list(0, soon())) == set(texts)
    assert set(await store.list(START, soon())) == set(texts)
    assert await store.tidy(lambda text: True, soon()) == 1003
    assert list(await store.list(0, soon())) == []


async def test_a_store_that_is_not_there_is_unavailable(clock: MovableClock) -> None:
    """On every call: no revocation counts as made, and no list as empty."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    client = S3Client(access(f"http://127.0.0.1:{port}"))
    await _fails(S3Revocations(client, "keys", clock.time))
    client.close()


async def test_a_missing_bucket_is_no_empty_list(versitygw_client: Any) -> None:  # noqa: F811
    """Nor is one that the credentials may not read."""
    await _fails(S3Revocations(versitygw_client, "no-such-bucket-anywhere", MovableClock().time))


async def _fails(store: RevocationStore) -> None:
    for call in (
        store.add(ONE, soon()),
        store.list(0, soon()),
        store.tidy(lambda text: True, soon()),
        store.check(soon()),
    ):
        with pytest.raises(StorageUnavailable):
            await call
