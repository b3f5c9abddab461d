"""Show, list, delete: where a document's truth is, and that a deletion stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.documents import MOST_WARNINGS, DocumentRef
from gateway.errors import (
    CoreTimeout,
    CoreUnavailable,
    GatewayError,
    NotFound,
    StorageUnavailable,
    TemporalTimeout,
    TemporalUnavailable,
    ValidationFailed,
)
from gateway.flows.documents import Document
from tests.unit.flows.documents_world import ALICE, World


async def get(world: World, ref: DocumentRef) -> Document:
    return await world.documents.get(ALICE, ref, world.soon())


async def delete(world: World, ref: DocumentRef) -> None:
    await world.documents.delete(ALICE, ref, world.soon())


async def ids(world: World, limit: int = 20) -> list[list[str]]:
    """All pages' ids, page by page."""
    pages: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await world.documents.list(ALICE, world.soon(), limit=limit, cursor=cursor)
        pages.append([document.document_id for document in page.documents])
        cursor = page.next_cursor
        if cursor is None:
            return pages


async def test_awaited_document_shows_what_was_announced() -> None:
    """Before the upload the workflow's memo is all there is."""
    world = World()
    ref = await world.started(sha256="a" * 64)
    found = await get(world, ref)
    assert found == Document(
        ref.document_id,
        "report.txt",
        "text/plain",
        20,
        "awaiting_upload",
        None,
        None,
        "2027-01-15T08:00:00Z",
        None,
        "a" * 64,
    )


@pytest.mark.parametrize(("worker_alive", "progress"), [(True, 0.5), (False, None)])
async def test_progress_is_the_workers_word_where_there_is_one(
    worker_alive: bool, progress: float | None
) -> None:
    """No worker, or Temporal slow to ask it, leaves the state without a progress."""
    world = World()
    ref = await world.started()
    world.workflows.become(ref, "processing")
    world.workflows.worker_alive = worker_alive
    assert (await get(world, ref)).progress == progress
    world.workflows.fail["progress"] = [TemporalTimeout()]
    assert (await get(world, ref)).progress is None


async def test_stage_and_warnings_are_passed_on() -> None:
    """The worker's word while it works, the record's warnings afterwards; not more than a few."""
    world = World()
    ref = await world.started()
    world.workflows.become(ref, "processing")
    key = ref.workflow_id
    told = replace(
        world.workflows.known[key], stage="queued", ahead=2, warnings=("A chart was not read.",)
    )
    world.workflows.known[key] = told
    found = await get(world, ref)
    assert (found.stage, found.ahead, found.warnings) == ("queued", 2, ("A chart was not read.",))
    many = tuple(f"Page {n} could not be read." for n in range(100))
    record = replace(world.core.record(ref), sha256="a" * 64, warnings=many)
    world.core.records[ref.document_id] = record
    found = await get(world, ref)
    assert (found.stage, found.ahead, found.warnings) == (None, None, many[:MOST_WARNINGS])


async def test_cores_record_is_the_truth_once_the_workflow_is_over() -> None:
    """Over or long gone: the record answers, and without one there is no document."""
    world = World()
    ref = await world.started()
    world.workflows.become(ref, "indexed", closed=True)
    with pytest.raises(NotFound):
        await get(world, ref)
    world.core.record(ref)
    assert (await get(world, ref)).status == "indexed"
    world.workflows.known.clear()
    found = await get(world, ref)
    assert (found.status, found.progress, found.updated_at) == (
        "indexed",
        1.0,
        "2027-01-15T08:00:05Z",
    )


async def test_a_final_record_answers_without_the_workflow() -> None:
    """Nobody knows better, so Temporal is not asked: it may be down, and it is slow."""
    world = World()
    ref = world.ref()
    world.core.records[ref.document_id] = replace(world.core.record(ref), sha256="a" * 64)
    world.workflows.fail["describe"] = [TemporalUnavailable()]
    found = await get(world, ref)
    assert (found.status, found.sha256) == ("indexed", "a" * 64)


async def test_an_awaited_document_is_shown_while_the_core_is_down() -> None:
    """The workflow knows it; only one that it has no open workflow for is the core's to tell."""
    world = World()
    ref = await world.started()
    world.core.fail["get_document"] = [CoreUnavailable()]
    assert (await get(world, ref)).status == "awaiting_upload"
    world.workflows.become(ref, "indexed", closed=True)
    world.core.fail["get_document"] = [CoreUnavailable()]
    with pytest.raises(CoreUnavailable):
        await get(world, ref)


async def test_a_workflow_that_ends_between_the_questions_leaves_its_last_word() -> None:
    """The record that was read first is older than the workflow's end."""
    world = World()
    ref = await world.started()
    world.core.record(ref, "processing")
    describe = world.workflows.describe

    async def ends_meanwhile(asked: DocumentRef, deadline: float) -> object:
        world.workflows.become(ref, "indexed", closed=True)
        world.core.record(ref)
        return await describe(asked, deadline)

    world.workflows.describe = ends_meanwhile  # type: ignore[method-assign, assignment]
    assert (await get(world, ref)).updated_at == "2027-01-15T08:00:05Z"
    assert (await get(world, ref)).status == "indexed"


async def test_record_left_processing_by_a_broken_workflow_is_failed() -> None:
    """A workflow that broke could not tell the core; how it ended does."""
    world = World()
    ref = await world.started()
    world.workflows.become(ref, "failed", closed=True)
    world.core.record(ref, "processing")
    assert (await get(world, ref)).status == "failed"


async def test_listing_merges_both_sides_newest_first_without_doubles() -> None:
    """An open workflow and its record are one document, shown in its newest state."""
    world = World()
    old, both, new = world.ref(30), await world.started(20), await world.started(10)
    world.core.record(old)
    world.core.record(both, "processing")
    world.workflows.become(both, "processing")
    page = await world.documents.list(ALICE, world.soon())
    assert [(d.document_id, d.status) for d in page.documents] == [
        (new.document_id, "awaiting_upload"),
        (both.document_id, "processing"),
        (old.document_id, "indexed"),
    ]
    assert page.next_cursor is None


async def test_a_listing_tells_the_checksum_the_core_has_on_record() -> None:
    """What one document's own page says of it, its line in the listing says too."""
    world = World()
    ref = world.ref(1)
    world.core.records[ref.document_id] = replace(world.core.record(ref), sha256="a" * 64)
    page = await world.documents.list(ALICE, world.soon())
    assert [d.sha256 for d in page.documents] == ["a" * 64]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_hold_every_document_once_in_order(limit: int) -> None:
    """However the pages are cut, whichever side a document is on."""
    world = World()
    expected = []
    for age in range(20):
        ref = await world.started(age) if age % 3 == 0 else world.ref(age)
        if age % 3 or age % 2:
            world.core.record(ref)
        expected.append(ref.document_id)
    pages = await ids(world, limit)
    assert [i for page in pages for i in page] == expected
    assert all(len(page) == limit for page in pages[:-1])


async def test_what_comes_and_goes_between_pages_disturbs_no_other() -> None:
    """A new document, a deleted one and one indexed meanwhile neither hide nor repeat another."""
    world = World()
    refs = [await world.started(age) for age in range(6)]
    first = await world.documents.list(ALICE, world.soon(), limit=3)
    await world.started(-5)
    await delete(world, refs[1])
    world.core.record(refs[4])
    world.workflows.become(refs[4], "indexed", closed=True)
    second = await world.documents.list(ALICE, world.soon(), limit=3, cursor=first.next_cursor)
    assert [d.document_id for d in second.documents] == [r.document_id for r in refs[3:]]
    assert second.next_cursor is None


async def test_deleted_document_is_not_listed_though_the_listing_lags() -> None:
    """Visibility may still call it running; its description knows better."""
    world = World()
    gone = await world.started()
    stays = await world.started(5)
    await delete(world, gone)
    assert await ids(world) == [[stays.document_id]]


async def test_foreign_ids_in_a_listing_are_left_out() -> None:
    """A workflow somebody started by hand under a made-up id is no document."""
    world = World()
    await world.started()
    odd = DocumentRef("acme", "alice", "../zzz")
    (known,) = world.workflows.known.values()
    world.workflows.lagging.append(replace(known, ref=odd))
    assert await ids(world) == [[known.ref.document_id]]


@pytest.mark.parametrize("limit", [0, 101, -1])
async def test_limit_outside_its_bounds_is_refused(limit: int) -> None:
    """1 to 100 a page."""
    world = World()
    with pytest.raises(ValidationFailed):
        await world.documents.list(ALICE, world.soon(), limit=limit)


async def test_made_up_cursor_is_refused() -> None:
    """Before anybody is asked anything."""
    world = World()
    world.workflows.fail["list_open"] = [AssertionError("asked")]
    with pytest.raises(ValidationFailed):
        await world.documents.list(ALICE, world.soon(), cursor="zzz")


@pytest.mark.parametrize("stage", ["awaiting", "uploaded", "processing", "indexed", "gone"])
async def test_deletion_leaves_nothing_and_is_final(stage: str) -> None:
    """Tombstone, cancel and removal at every stage; afterwards it is not found."""
    world = World()
    ref = await world.started(upload_id="upload-1")
    world.store.open_uploads["upload-1"] = ref.object_key
    if stage != "awaiting":
        world.upload(ref)
    if stage in ("processing", "indexed", "gone"):
        world.workflows.become(ref, "processing")
        world.core.record(ref, "processing")
    if stage in ("indexed", "gone"):
        world.core.record(ref)
        world.workflows.become(ref, "indexed", closed=True)
    if stage == "gone":
        world.workflows.known.clear()
        world.store.open_uploads.clear()
    await delete(world, ref)
    assert world.core.tombstones == {ref.document_id}
    assert not world.store.objects
    assert not world.store.open_uploads
    with pytest.raises(NotFound):
        await get(world, ref)
    with pytest.raises(NotFound):
        await delete(world, ref)
    with pytest.raises(NotFound):
        await world.uploads.complete(ALICE, ref, None, world.soon())
    assert await ids(world) == [[]]


async def test_unknown_document_cannot_be_deleted_and_leaves_no_tombstone() -> None:
    """A foreign or made-up id is not found and changes nothing."""
    world = World()
    with pytest.raises(NotFound):
        await delete(world, world.ref())
    assert not world.core.tombstones


STEPS: list[tuple[str, str, GatewayError]] = [
    ("core", "delete_document", CoreUnavailable()),
    ("workflows", "cancel", TemporalUnavailable()),
    ("store", "delete", StorageUnavailable()),
]


@pytest.mark.parametrize(("place", "call", "failure"), STEPS)
async def test_each_step_of_a_deletion_is_tried_twice(
    place: str, call: str, failure: GatewayError
) -> None:
    """One hiccup does not show."""
    world = World()
    ref = await world.started()
    world.upload(ref)
    getattr(world, place).fail[call] = [failure]
    await delete(world, ref)
    assert not world.store.objects


@pytest.mark.parametrize("stage", ["awaiting_upload", "processing", "indexed"])
@pytest.mark.parametrize(("place", "call", "failure"), STEPS)
async def test_deletion_that_failed_half_way_can_be_repeated(
    place: str, call: str, failure: GatewayError, stage: Any
) -> None:
    """The failure keeps its name, nothing gets indexed meanwhile, and the next try finishes."""
    world = World()
    ref = await world.started()
    world.upload(ref)
    world.workflows.become(ref, stage, closed=stage == "indexed")
    if stage != "awaiting_upload":
        world.core.record(ref, stage)
    getattr(world, place).fail[call] = [failure, failure]
    with pytest.raises(type(failure)):
        await delete(world, ref)
    await delete(world, ref)
    assert world.core.tombstones == {ref.document_id}
    assert not world.store.objects
    assert all(s.cancelled or s.closed for s in world.workflows.known.values())


async def test_slow_core_does_not_eat_the_others_deadline() -> None:
    """The core has a budget of its own: what it took is added for Temporal and the store."""
    world = World()
    ref = await world.started()
    world.core.takes_s = 0.01
    deadline = world.soon()
    await world.documents.delete(ALICE, ref, deadline)
    assert world.workflows.cancelled_by >= deadline + 0.01


async def test_core_that_timed_out_is_not_asked_again() -> None:
    """A second budget would double the client's wait."""
    world = World()
    ref = await world.started()
    world.core.fail["delete_document"] = [CoreTimeout()]
    with pytest.raises(CoreTimeout):
        await delete(world, ref)
    assert not world.core.tombstones


@pytest.mark.parametrize(
    ("step", "left"),
    [
        (STEPS[0], (False, False, True)),
        (STEPS[1], (True, False, True)),
        (STEPS[2], (True, True, True)),
    ],
)
async def test_a_deletion_goes_by_tombstone_then_cancel_then_object(
    step: tuple[str, str, GatewayError], left: tuple[bool, bool, bool]
) -> None:
    """A step that fails finds the ones before it done and the ones after it not begun.

    In another order a worker could index bytes that are about to go, or what no tombstone keeps out
    any more.
    """
    place, call, failure = step
    world = World()
    ref = await world.started()
    world.upload(ref)
    getattr(world, place).fail[call] = [failure, failure]
    with pytest.raises(type(failure)):
        await delete(world, ref)
    has_tombstone = ref.document_id in world.core.tombstones
    is_cancelled = world.workflows.known[ref.workflow_id].cancelled
    assert (has_tombstone, is_cancelled, ref.object_key in world.store.objects) == left
