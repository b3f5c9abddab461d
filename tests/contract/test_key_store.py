"""One suite for every key store: the fake that unit tests use, moto, and the real versitygw."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import pytest_asyncio

from devstack.components import S3Account
from gateway.adapters import s3_keys
from gateway.adapters.s3_client import S3Access, S3Client
from gateway.adapters.s3_keys import S3KeyStore
from gateway.domain.api_keys import KeyRecord, KeySecret, StoredKey, new_key_id, secret_hash
from gateway.errors import Conflict, StorageUnavailable
from gateway.ports import KeyStore
from tests.components import running_s3
from tests.unit.identity_fakes import MemoryKeyStore

BUCKET = "api-keys"


def soon() -> float:
    return asyncio.get_running_loop().time() + 60


def access(endpoint: str) -> S3Access:
    return S3Access(endpoint, "us-east-1", "key-store-test", "not-a-real-secret", timeout_s=60)


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="pip install 'moto[server]'")
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def versitygw_endpoint(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    signing = access("")
    account = S3Account(signing.access_key, signing.secret_key)
    async with running_s3(tmp_path_factory.mktemp("versitygw"), account=account) as server:
        yield server.launch.address


@pytest.fixture(scope="session")
def moto_client(moto_endpoint: str) -> Iterator[S3Client]:
    made = S3Client(access(moto_endpoint))
    yield made
    made.close()


@pytest.fixture(scope="session")
def versitygw_client(versitygw_endpoint: str) -> Iterator[S3Client]:
    made = S3Client(access(versitygw_endpoint))
    yield made
    made.close()


def new_bucket(client: S3Client) -> str:
    """An empty bucket of one test's own."""
    name = f"{BUCKET}-{secrets.token_hex(8)}"
    client.sync.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["moto", "versitygw"])
def client(request: pytest.FixtureRequest) -> S3Client:
    return request.getfixturevalue(f"{request.param}_client")  # type: ignore[no-any-return]


@pytest.fixture
def bucket(client: S3Client) -> str:
    return new_bucket(client)


@pytest.fixture
def s3_store(client: S3Client, bucket: str) -> S3KeyStore:
    return S3KeyStore(client, bucket)


@pytest.fixture(params=["memory", "moto", "versitygw"])
def store(request: pytest.FixtureRequest) -> KeyStore:
    if request.param == "memory":
        return MemoryKeyStore()
    client = request.getfixturevalue(f"{request.param}_client")
    return S3KeyStore(client, new_bucket(client))


def a_key(**changes: Any) -> KeyRecord:
    record = KeyRecord(
        key_id=new_key_id(),
        tenant="acme",
        owner="alice",
        name='läptop "☃"',
        scopes=frozenset({"query:run", "documents:list"}),
        secrets=(
            KeySecret(secret_hash("new")),
            KeySecret(secret_hash("old"), expires_at=1_800_000_060),
        ),
        created_at=1_800_000_000,
        expires_at=1_900_000_000,
    )
    return replace(record, **changes)


async def stored(store: KeyStore, key_id: str) -> StoredKey:
    found = await store.get(key_id, soon())
    assert found is not None
    return found


async def listed(store: KeyStore, tenant: str = "acme", owner: str = "alice") -> set[str]:
    return {key.record.key_id for key in await store.list(tenant, owner, soon())}


async def test_what_was_created_is_found_again(store: KeyStore) -> None:
    """Every field, as it was."""
    record = a_key()
    await store.create(record, soon())
    assert (await stored(store, record.key_id)).record == record


async def test_what_was_never_created_is_none(store: KeyStore) -> None:
    """A miss is an answer, not an error."""
    assert await store.get(new_key_id(), soon()) is None


async def test_a_taken_id_is_a_conflict_and_stays_whose_it_is(store: KeyStore) -> None:
    """Nobody overwrites a key by creating one."""
    record = a_key()
    await store.create(record, soon())
    with pytest.raises(Conflict):
        await store.create(replace(record, owner="mallory"), soon())
    assert (await stored(store, record.key_id)).record == record
    assert await listed(store, owner="mallory") == set()


async def test_of_eight_creations_of_one_id_one_wins(store: KeyStore) -> None:
    """Also at the very same time."""
    record = a_key()
    results = await asyncio.gather(
        *(store.create(replace(record, name=str(n)), soon()) for n in range(8)),
        return_exceptions=True,
    )
    assert results.count(None) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 7


async def test_a_change_needs_the_present_version(store: KeyStore) -> None:
    """Who read before somebody else wrote has to read again."""
    record = a_key()
    await store.create(record, soon())
    before = await stored(store, record.key_id)
    revoked = replace(record, revoked_at=1_800_000_001)

    await store.replace(revoked, before.version, soon())
    with pytest.raises(Conflict):
        await store.replace(replace(record, name="late"), before.version, soon())

    after = await stored(store, record.key_id)
    assert after.record == revoked
    assert after.version != before.version


async def test_of_eight_changes_to_one_version_one_wins(store: KeyStore) -> None:
    """Two rotations at once must not both hand out a secret."""
    record = a_key()
    await store.create(record, soon())
    version = (await stored(store, record.key_id)).version
    results = await asyncio.gather(
        *(store.replace(replace(record, name=str(n)), version, soon()) for n in range(8)),
        return_exceptions=True,
    )
    assert results.count(None) == 1
    assert sum(isinstance(result, Conflict) for result in results) == 7
    assert (await stored(store, record.key_id)).record.name == str(results.index(None))


async def test_an_overwrite_wins_against_a_change_under_way(store: KeyStore) -> None:
    """A revocation does not need the present version, and takes it away from a rotation."""
    record = a_key()
    await store.create(record, soon())
    before = await stored(store, record.key_id)
    revoked = replace(record, revoked_at=1_800_000_001)
    await store.overwrite(revoked, soon())
    with pytest.raises(Conflict):
        await store.replace(replace(record, name="rotated"), before.version, soon())
    assert (await stored(store, record.key_id)).record == revoked


async def test_a_change_to_a_key_that_is_gone_is_a_conflict(store: KeyStore) -> None:
    """It does not bring the key back."""
    record = a_key()
    await store.create(record, soon())
    version = (await stored(store, record.key_id)).version
    await store.remove(record, soon())
    with pytest.raises(Conflict):
        await store.replace(record, version, soon())
    assert await store.get(record.key_id, soon()) is None


async def test_an_owner_lists_his_keys_and_nobody_elses(store: KeyStore) -> None:
    """Not those of a namesake in another tenant, nor of a name that begins like his."""
    mine = [a_key() for _ in range(3)]
    others = [a_key(tenant="other"), a_key(owner="alice2"), a_key(owner="ali"), a_key(owner="bob")]
    for record in (*mine, *others):
        await store.create(record, soon())
    assert await listed(store) == {record.key_id for record in mine}
    assert await listed(store, "other", "alice") == {others[0].key_id}
    assert await listed(store, "acme", "nobody") == set()


async def test_a_removed_key_is_gone_and_removing_it_again_is_fine(store: KeyStore) -> None:
    """From look-ups and from listings."""
    record = a_key()
    await store.create(record, soon())
    await store.remove(record, soon())
    await store.remove(record, soon())
    assert await store.get(record.key_id, soon()) is None
    assert await listed(store) == set()


async def test_a_store_that_answers_is_healthy(store: KeyStore) -> None:
    """No news is good news."""
    await store.check(soon())


async def test_a_hundred_keys_are_listed_whole(s3_store: S3KeyStore) -> None:
    """As many as an owner may have."""
    records = [a_key() for _ in range(100)]
    await asyncio.gather(*(s3_store.create(record, soon()) for record in records))
    assert await listed(s3_store) == {record.key_id for record in records}


async def test_no_secret_is_in_what_is_stored(
    s3_store: S3KeyStore, client: S3Client, bucket: str
) -> None:
    """Who reads the bucket can use no key."""
    record = a_key(secrets=(KeySecret(secret_hash("open sesame")),))
    await s3_store.create(record, soon())
    names = [entry["Key"] for entry in client.sync.list_objects_v2(Bucket=bucket)["Contents"]]
    bodies = [client.sync.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names]
    assert sorted(names) == [
        f"keys/{record.key_id}.json",
        f"owners/acme/alice/{record.key_id}",
    ]
    assert not any(b"open sesame" in body for body in bodies)


def index_of(client: S3Client, bucket: str) -> set[str]:
    pages = client.sync.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="owners/")
    return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


async def test_a_creation_that_fails_half_way_leaves_no_index_entry(
    s3_store: S3KeyStore, client: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of its two writes is the last: a listing has nothing to look up in vain."""
    written = []
    call = client.call

    async def fails_after_one(operation: str, deadline: float, **arguments: Any) -> dict[str, Any]:
        if written:
            raise StorageUnavailable
        written.append(arguments["Key"])
        return await call(operation, deadline, **arguments)

    monkeypatch.setattr(client, "call", fails_after_one)
    with pytest.raises(StorageUnavailable):
        await s3_store.create(a_key(), soon())
    assert written
    assert index_of(client, bucket) == set()


async def test_index_entries_without_records_are_removed_as_they_are_met(
    s3_store: S3KeyStore, client: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than one page of them hides no key, and the next listing has nothing to look up."""
    monkeypatch.setattr(s3_keys, "_STRAY_AGE_S", -3600.0)
    strays = [f"owners/acme/alice/{new_key_id()}" for _ in range(1100)]
    with ThreadPoolExecutor(16) as threads:
        write = partial(client.sync.put_object, Bucket=bucket, Body=b"")
        list(threads.map(lambda path: write(Key=path), strays))
    record = a_key(key_id="zzzzzzzzzzzzzzzz")
    await s3_store.create(record, soon())
    assert await listed(s3_store) == {record.key_id}
    assert index_of(client, bucket) == {f"owners/acme/alice/{record.key_id}"}


async def test_a_listing_that_runs_out_of_time_removes_what_it_has_found(
    s3_store: S3KeyStore, client: S3Client, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An owner with thousands of them would otherwise get 503 for ever."""
    monkeypatch.setattr(s3_keys, "_STRAY_AGE_S", -3600.0)
    for _ in range(20):
        client.sync.put_object(Bucket=bucket, Key=f"owners/acme/alice/{new_key_id()}", Body=b"")
    looked_up = 0
    read = s3_store._read

    def too_slow(key_id: str) -> tuple[bytes, str]:
        nonlocal looked_up
        looked_up += 1
        if looked_up > 10:
            raise StorageUnavailable
        return read(key_id)

    monkeypatch.setattr(s3_store, "_read", too_slow)
    with pytest.raises(StorageUnavailable):
        await s3_store.list("acme", "alice", soon())
    assert len(index_of(client, bucket)) < 20


async def test_an_index_entry_without_a_record_is_skipped(
    s3_store: S3KeyStore, client: S3Client, bucket: str
) -> None:
    """What a creation by an earlier version leaves half-way; it may be under way, and stays."""
    for name in (new_key_id(), "not-an-id"):
        client.sync.put_object(Bucket=bucket, Key=f"owners/acme/alice/{name}", Body=b"")
    record = a_key()
    await s3_store.create(record, soon())
    assert await listed(s3_store) == {record.key_id}
    assert len(index_of(client, bucket)) == 3


async def test_an_index_entry_for_somebody_elses_key_shows_nothing(
    s3_store: S3KeyStore, client: S3Client, bucket: str
) -> None:
    """The record says whose it is."""
    record = a_key(owner="bob")
    await s3_store.create(record, soon())
    client.sync.put_object(Bucket=bucket, Key=f"owners/acme/alice/{record.key_id}", Body=b"")
    assert await listed(s3_store) == set()


def _with(body: bytes, old: bytes, new: bytes) -> bytes:
    assert old in body
    return body.replace(old, new)


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"{}",
        lambda _: b"\xff\xfe",
        lambda body: body[:-10],
        lambda body: body + b" " * 70_000,
        lambda body: _with(body, b'"version":1', b'"version":2'),
        lambda body: _with(body, b'"owner":"alice"', b'"owner":"../bob"'),
        lambda body: _with(body, b'"owner":"alice"', b'"owner":7'),
        lambda body: _with(body, b'"expires_at":1900000000', b'"expires_at":"never"'),
        lambda body: _with(body, secret_hash("new").encode(), "é".encode() * 64),
        lambda body: _with(body, b'"scopes":["documents:list","query:run"]', b'"scopes":[]'),
        lambda body: _with(body, b'"key_id":"', b'"key_id":"x'),
        lambda body: _with(body, b'"name"', b'"nom"'),
    ],
)
async def test_a_corrupt_record_is_neither_a_pass_nor_a_miss(
    s3_store: S3KeyStore,
    client: S3Client,
    bucket: str,
    caplog: pytest.LogCaptureFixture,
    damage: Any,
) -> None:
    """Its key gets 503 and the log says which record; the owner's other keys stay listed."""
    broken, fine = a_key(), a_key()
    for record in (broken, fine):
        await s3_store.create(record, soon())
    place = {"Bucket": bucket, "Key": f"keys/{broken.key_id}.json"}
    body = client.sync.get_object(**place)["Body"].read()
    client.sync.put_object(**place, Body=damage(body))

    with caplog.at_level(logging.ERROR), pytest.raises(StorageUnavailable):
        await s3_store.get(broken.key_id, soon())

    assert broken.key_id in caplog.text
    assert await listed(s3_store) == {fine.key_id}


async def test_a_missing_bucket_is_no_missing_key(client: S3Client) -> None:
    """Both are a 404 to S3; only one of them says that the key does not exist."""
    store = S3KeyStore(client, "no-such-bucket-anywhere")
    with pytest.raises(StorageUnavailable):
        await store.get(new_key_id(), soon())
    with pytest.raises(StorageUnavailable):
        await store.create(a_key(), soon())
    with pytest.raises(StorageUnavailable):
        await store.list("acme", "alice", soon())
    with pytest.raises(StorageUnavailable) as told:
        await store.check(soon())
    # An operator's first mistake; `gateway check --connect` shows the cause.
    assert "'no-such-bucket-anywhere': is not there" in str(told.value.__cause__)


async def test_wrong_credentials_are_no_missing_key(versitygw_endpoint: str) -> None:
    """The store refuses us, which says nothing about the key."""
    client = S3Client(replace(access(versitygw_endpoint), secret_key="wrong"))
    try:
        with pytest.raises(StorageUnavailable):
            await S3KeyStore(client, BUCKET).get(new_key_id(), soon())
    finally:
        client.close()


async def test_a_store_that_is_not_there_is_unavailable() -> None:
    """A refused connection, on every operation."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    client = S3Client(access(f"http://127.0.0.1:{port}"))
    store = S3KeyStore(client, BUCKET)
    try:
        for call in (
            store.get(new_key_id(), soon()),
            store.create(a_key(), soon()),
            store.replace(a_key(), '"1"', soon()),
            store.list("acme", "alice", soon()),
            store.remove(a_key(), soon()),
            store.check(soon()),
        ):
            with pytest.raises(StorageUnavailable):
                await call
    finally:
        client.close()


async def test_a_frozen_store_is_unavailable_at_the_deadline() -> None:
    """It accepts and never answers; the caller's deadline is what counts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = S3Client(
            replace(access(f"http://127.0.0.1:{server.getsockname()[1]}"), timeout_s=2)
        )
        try:
            deadline = asyncio.get_running_loop().time() + 0.05
            with pytest.raises(StorageUnavailable):
                await S3KeyStore(client, BUCKET).get(new_key_id(), deadline)
        finally:
            client.close()
