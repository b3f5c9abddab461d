"""What the core removes from storage, on a real store and on what stands in for one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devstack import buckets
from devstack.components import Choice
from devstack.core.documents import Announced
from devstack.core.index import IndexBuilder
from devstack.core.registry import Registry
from devstack.core.settings import StorageSettings
from devstack.core.storage import NotRemoved, Storage
from devstack.core.sweep import Sweep, remove_leftovers
from tests.components import ACCOUNT, STORES, running_s3
from tests.unit.devstack.core.conftest import ALICE, announced, uuid7

BUCKET = "documents"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Store:
    """A versioned bucket, and the registry that says what belongs there."""

    s3: Any
    storage: Storage
    registry: Registry

    def document(self) -> Announced:
        return announced(ALICE, uuid7())

    def put(self, document: Announced, times: int = 1) -> list[str]:
        """Store an object again and again; its versions, in no order."""

        def write(_: int) -> str:
            stored = self.s3.put_object(Bucket=BUCKET, Key=document.object_key, Body=b"bytes")
            return str(stored["VersionId"])

        with ThreadPoolExecutor(8) as threads:
            return list(threads.map(write, range(times)))

    def pin(self, document: Announced, version_id: str) -> None:
        self.registry.begin(document, NOW)
        self.registry.pin(document.owner, document.document_id, version_id)

    def left(self, document: Announced) -> list[str | None]:
        return [version.version_id for version in self.storage.versions(document.object_key)]

    def sweep(self) -> int:
        return remove_leftovers(self.registry, self.storage, "uploads/")


@contextlib.asynccontextmanager
async def running(choice: Choice, folder: Path) -> AsyncIterator[Store]:
    async with running_s3(folder, choice) as server:
        s3 = buckets.client(server.launch.address, ACCOUNT)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        account = (ACCOUNT.access_key, ACCOUNT.secret_key)
        storage = Storage(StorageSettings(server.launch.address, ACCOUNT.region, BUCKET, *account))
        registry = Registry(folder / "core")
        yield Store(s3, storage, registry)
        registry.close()
        storage.close()
        s3.close()


@pytest.fixture(params=STORES)
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    async with running(STORES[request.param], tmp_path) as found:
        yield found


@pytest.fixture
async def real_store(tmp_path: Path) -> AsyncIterator[Store]:
    async with running("real", tmp_path) as found:
        yield found


async def test_of_1201_versions_the_pinned_one_stays(real_store: Store) -> None:
    """More than a page of a listing, and the pinned one in their middle."""
    document = real_store.document()
    versions = real_store.put(document, 600)
    pinned = real_store.put(document)[0]
    versions += real_store.put(document, 600)
    real_store.pin(document, pinned)
    assert real_store.sweep() == 1200
    assert real_store.left(document) == [pinned]
    assert real_store.sweep() == 0


async def test_all_1050_versions_of_a_deleted_document_go(real_store: Store) -> None:
    """What one form stored after the deletion goes with its delete markers."""
    document = real_store.document()
    real_store.registry.tombstone(document.owner, document.document_id)
    real_store.put(document, 1050)
    real_store.s3.delete_object(Bucket=BUCKET, Key=document.object_key)
    assert real_store.sweep() == 1051
    assert real_store.left(document) == []


async def test_open_uploads_of_1010_deleted_documents_are_aborted(
    real_store: Store, tmp_path: Path
) -> None:
    """More than a page of them, and those of living documents stay."""
    living = real_store.document()
    documents = [living, *(real_store.document() for _ in range(1010))]
    begin = partial(real_store.s3.create_multipart_upload, Bucket=BUCKET)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda one: begin(Key=one.object_key), documents))
    for one in documents[1:]:
        real_store.registry.tombstone(one.owner, one.document_id)
    builder = IndexBuilder(real_store.registry, tmp_path / "index")
    sweep = Sweep(real_store.registry, builder, real_store.storage, tmp_path / "staging")
    assert sweep.abort_uploads() == 1010
    assert [u.key for u in real_store.storage.open_uploads("uploads/")] == [living.object_key]


async def test_a_deletion_forgets_what_was_pinned(any_store: Store) -> None:
    """A document that was indexed and then deleted keeps no version."""
    document = any_store.document()
    any_store.pin(document, any_store.put(document, 2)[0])
    any_store.registry.tombstone(document.owner, document.document_id)
    assert any_store.registry.pinned(document.owner, document.document_id) is None
    any_store.sweep()
    assert any_store.left(document) == []


async def test_what_is_awaited_or_unknown_stays_whole(any_store: Store) -> None:
    """Any version of an upload that is not completed may be the one that will be."""
    waiting, processing = any_store.document(), any_store.document()
    any_store.put(waiting, 3)
    any_store.put(processing, 3)
    any_store.registry.begin(processing, NOW)  # where only an ETag is known
    foreign = "uploads/acme/alice/notes.txt"
    any_store.s3.put_object(Bucket=BUCKET, Key=foreign, Body=b"not ours")
    assert any_store.sweep() == 0
    assert (len(any_store.left(waiting)), len(any_store.left(processing))) == (3, 3)


async def test_a_delete_marker_that_somebody_put_on_a_living_document_stays(
    any_store: Store,
) -> None:
    """Hiding an object is an operator's decision; versions beside the pinned one go regardless."""
    document = any_store.document()
    pinned = any_store.put(document)[0]
    any_store.put(document)
    any_store.pin(document, pinned)
    marker = any_store.s3.delete_object(Bucket=BUCKET, Key=document.object_key)["VersionId"]
    assert any_store.sweep() == 1
    assert set(any_store.left(document)) == {pinned, marker}


async def test_a_version_that_the_store_keeps_is_not_counted_as_removed(
    any_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store answers 200 and names what it did not remove: that is a failure here."""
    document = any_store.document()
    any_store.registry.tombstone(document.owner, document.document_id)
    any_store.put(document)
    refusal = {"Errors": [{"Key": document.object_key, "Code": "AccessDenied"}]}
    monkeypatch.setattr(any_store.storage._client, "delete_objects", lambda **_: refusal)
    with pytest.raises(NotRemoved, match="AccessDenied"):
        any_store.sweep()
