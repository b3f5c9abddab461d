"""Creations that are attempted again: whatever became of the first attempt, one thing is made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.actions import ACTIONS
from gateway.domain.api_keys import new_key_id
from gateway.domain.documents import MIB, DocumentRef
from gateway.domain.ids import new_uuid7
from gateway.errors import (
    Conflict,
    StorageUnavailable,
    TemporalTimeout,
    ValidationFailed,
)
from gateway.flows.keys import Keys
from gateway.flows.repeats import Attempt
from gateway.flows.upload_bodies import NewDocument, UploadTicket
from tests.unit.flows.documents_world import NOW, World
from tests.unit.identity_fakes import (
    ALICE,
    MemoryKeyStore,
    MovableClock,
    person,
    revocations_of,
)
from tests.unit.values import upload_rules

ID = new_uuid7(NOW)
SMALL_PARTS = upload_rules(multipart_threshold_bytes=6 * MIB, part_bytes=5 * MIB)
SOON = 1e12


async def announce(world: World, attempt: Attempt, size: int = 20) -> UploadTicket:
    asked = NewDocument(filename="report.txt", size=size)
    return await world.uploads.create("acme", "alice", asked, world.soon(), attempt)


async def test_an_answer_that_was_lost_leaves_its_document_to_the_next_attempt() -> None:
    """It took effect all the same: nothing is undone, and the repeat gets that very document."""
    world = World()
    world.workflows.started_anyway = True
    world.workflows.fail["start"] = [TemporalTimeout()]
    first = Attempt(ID)
    with pytest.raises(TemporalTimeout):
        await announce(world, first)
    assert first.begun
    ticket = await announce(world, Attempt(ID, again=True))
    assert ticket.document_id == ID
    (status,) = world.workflows.known.values()
    assert not status.cancelled


async def test_two_attempts_at_once_start_one_workflow() -> None:
    """The claim of the first was over before it was: the second joins what it made."""
    world = World()
    one, two = await announce(world, Attempt(ID)), await announce(world, Attempt(ID))
    assert one.workflow_id == two.workflow_id
    assert len(world.workflows.known) == 1


async def test_parts_of_a_repeat_are_those_of_the_upload_that_was_begun() -> None:
    """Another multipart upload, begun in vain, is not what the ticket speaks of."""
    world = World(rules=SMALL_PARTS)
    one = await announce(world, Attempt(ID), size=12 * MIB)
    two = await announce(world, Attempt(ID, again=True, made=True), size=12 * MIB)
    assert (one.upload, one.document_id) == (two.upload, two.document_id)
    assert one.upload.method == "MULTIPART"


async def test_what_no_longer_awaits_its_upload_is_a_conflict_with_its_id() -> None:
    """Deleted, expired, or unknown to Temporal by now: no form that would lead nowhere."""
    world, made = World(), Attempt(ID, again=True, made=True)
    with pytest.raises(Conflict) as unknown:
        await announce(world, made)
    assert unknown.value.details == {"document_id": ID}
    await announce(world, Attempt(ID))
    await world.workflows.cancel(DocumentRef("acme", "alice", ID), world.soon())
    with pytest.raises(Conflict):
        await announce(world, made)


async def test_what_is_refused_before_anything_is_made_was_not_begun() -> None:
    """So that its key is free for the corrected request."""
    attempt = Attempt(ID)
    with pytest.raises(ValidationFailed):
        await World().uploads.create(
            "acme", "alice", NewDocument(filename="a.exe", size=1), SOON, attempt
        )
    assert not attempt.begun


# --- keys -----------------------------------------------------------------------------------------


@pytest.fixture
def store() -> MemoryKeyStore:
    return MemoryKeyStore()


@pytest.fixture
def keys(store: MemoryKeyStore) -> Keys:
    clock = MovableClock()
    return Keys(store, clock, revocations_of(clock), actions=ACTIONS)


async def make(keys: Keys, attempt: Attempt) -> str:
    record, _ = await keys.create(person(ALICE), "k", ["query:run"], None, SOON, attempt)
    return record.key_id


async def test_a_key_has_the_attempts_id_and_is_made_once(
    keys: Keys, store: MemoryKeyStore
) -> None:
    """Made and told, made and not told, or at the same moment: 409 with its id."""
    first = Attempt(new_key_id())
    assert await make(keys, first) == first.id
    for again in (
        Attempt(first.id, again=True, made=True),
        Attempt(first.id, again=True),
        Attempt(first.id),
    ):
        with pytest.raises(Conflict) as refused:
            await make(keys, again)
        assert refused.value.details == {"key_id": first.id}
    assert len(await keys.list("acme", "alice", SOON)) == 1


async def test_a_key_that_was_not_made_is_made_by_the_next_attempt(
    keys: Keys, store: MemoryKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the id that was remembered."""

    async def away(*_: object) -> None:
        raise StorageUnavailable

    first = Attempt(new_key_id())
    with monkeypatch.context() as patched:
        patched.setattr(store, "create", away)
        with pytest.raises(StorageUnavailable):
            await make(keys, first)
    assert first.begun
    assert await make(keys, replace(first, again=True)) == first.id
