"""Announce, parts, complete: what a client gets, and what is left when something fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.domain.documents import MIB, DocumentRef, ObjectHead
from gateway.errors import (
    Conflict,
    CoreUnavailable,
    NotFound,
    StorageUnavailable,
    TemporalTimeout,
    TemporalUnavailable,
    ValidationFailed,
)
from gateway.flows import uploads
from gateway.flows.upload_bodies import Accepted, NewDocument, UploadedPart, UploadTicket
from tests.unit.flows.documents_world import ALICE, NOW, World
from tests.unit.values import upload_rules

SMALL_PARTS = upload_rules(multipart_threshold_bytes=6 * MIB, part_bytes=5 * MIB)
BIG = 12 * MIB
ALL_PARTS = [UploadedPart(n, f"e{n}") for n in (1, 2, 3)]


async def announce(world: World, **differing: Any) -> UploadTicket:
    facts = {"filename": "report.txt", "content_type": "text/plain", "size": 20, **differing}
    return await world.uploads.create("acme", "alice", NewDocument(**facts), world.soon())


async def complete(
    world: World, ref: DocumentRef, parts: list[UploadedPart] | None = None
) -> Accepted:
    return await world.uploads.complete(ALICE, ref, parts, world.soon())


def ref_of(ticket: UploadTicket) -> DocumentRef:
    return DocumentRef("acme", "alice", ticket.document_id)


async def test_announcement_gives_a_form_and_starts_the_workflow() -> None:
    """A ticket names the document, its workflow, the form and where to say that it is done."""
    world = World()
    ticket = await announce(world)
    ref = ref_of(ticket)
    assert ticket.workflow_id == ref.workflow_id
    assert ticket.complete_url == f"/api/v1/documents/{ticket.document_id}/complete"
    assert ticket.upload.method == "POST"
    assert ticket.upload.expires_at == "2027-01-15T08:15:00Z"
    assert ticket.upload.fields == {"key": ref.object_key, "for": "900"}
    assert world.workflows.known[ref.workflow_id].announced.expires_at == NOW + 900


async def test_put_on_request() -> None:
    """A client that cannot send forms gets a PUT with the headers it must send."""
    ticket = await announce(World(), upload_method="PUT")
    assert ticket.upload.method == "PUT"
    assert ticket.upload.headers == {"Content-Type": "text/plain"}
    assert ticket.upload.fields is None


async def test_large_document_is_uploaded_in_parts() -> None:
    """Above the threshold the ticket names the part size and where parts' URLs are given."""
    world = World(SMALL_PARTS)
    ticket = await announce(world, size=BIG)
    assert ticket.upload.method == "MULTIPART"
    assert ticket.upload.part_size == 5 * MIB
    assert ticket.upload.url == f"/api/v1/documents/{ticket.document_id}/parts"
    assert world.workflows.known[ticket.workflow_id].announced.upload_id == "upload-1"


async def test_faulty_announcement_starts_nothing() -> None:
    """Every wrong field is named, and neither store nor Temporal hears of it."""
    world = World(SMALL_PARTS)
    with pytest.raises(ValidationFailed) as failed:
        await announce(world, size=BIG, filename="../x", content_type="image/png")
    assert set(failed.value.details["fields"]) == {"filename", "content_type"}
    assert not world.workflows.known
    assert not world.store.open_uploads


@pytest.mark.parametrize("started_anyway", [True, False])
@pytest.mark.parametrize(
    "failure", [TemporalUnavailable(), TemporalTimeout(), asyncio.CancelledError()]
)
async def test_workflow_that_cannot_be_started_leaves_no_document(
    failure: BaseException, started_anyway: bool
) -> None:
    """Also when the start took effect and only its answer was lost, or the client left."""
    world = World(SMALL_PARTS)
    world.workflows.fail["start"] = [failure]
    world.workflows.started_anyway = started_anyway
    with pytest.raises(type(failure)):
        await announce(world, size=BIG)
    await world.background_done()
    assert not world.store.open_uploads
    assert all(status.cancelled for status in world.workflows.known.values())


async def test_part_urls_are_given_again_with_exact_sizes() -> None:
    """Each asked part's URL carries its own size; asking once more is fine."""
    world = World(SMALL_PARTS)
    ref = ref_of(await announce(world, size=BIG))
    for _ in range(2):
        parts = (await world.uploads.parts(ref, [3, 1], world.soon())).parts
        assert [part.n for part in parts] == [3, 1]
        assert parts[0].url.endswith(f"upload-1&3&{2 * MIB}&900")
        assert parts[1].url.endswith(f"upload-1&1&{5 * MIB}&900")
        assert parts[0].expires_at == "2027-01-15T08:15:00Z"


async def test_part_urls_never_outlive_the_upload() -> None:
    """Near the upload's end they are good for what is left, after it there are none."""
    world = World(SMALL_PARTS)
    ref = ref_of(await announce(world, size=BIG))
    ends = world.workflows.known[ref.workflow_id].announced.expires_at
    world.clock.now = ends - 60.0
    (part,) = (await world.uploads.parts(ref, [1], world.soon())).parts
    assert part.url.endswith("&60")
    world.clock.now = float(ends)
    with pytest.raises(Conflict):
        await world.uploads.parts(ref, [1], world.soon())


async def test_parts_are_for_multipart_uploads_still_awaited() -> None:
    """A form upload, a processed, a deleted and an unknown document have no parts."""
    world = World(SMALL_PARTS)
    with pytest.raises(Conflict):
        await world.uploads.parts(await world.started(), [1], world.soon())
    with pytest.raises(NotFound):
        await world.uploads.parts(world.ref(), [1], world.soon())
    ref = ref_of(await announce(world, size=BIG))
    with pytest.raises(ValidationFailed):
        await world.uploads.parts(ref, [4], world.soon())
    world.workflows.become(ref, "processing")
    with pytest.raises(Conflict):
        await world.uploads.parts(ref, [1], world.soon())
    await world.workflows.cancel(ref, world.soon())
    with pytest.raises(NotFound):
        await world.uploads.parts(ref, [1], world.soon())


async def test_complete_pins_what_was_checked() -> None:
    """The workflow hears of the very version and ETag that was compared."""
    world = World()
    ref = await world.started()
    head = world.upload(ref)
    assert await complete(world, ref) == Accepted(ref.document_id)
    assert world.workflows.signals == [(ref.document_id, head)]


@pytest.mark.parametrize("worker_alive", [True, False])
async def test_complete_twice_and_at_once_gives_the_same_answer(worker_alive: bool) -> None:
    """Whether or not a worker has taken the first one up."""
    world = World()
    world.workflows.worker_alive = worker_alive
    ref = await world.started()
    world.upload(ref)
    answers = await asyncio.gather(*(complete(world, ref) for _ in range(3)))
    answers.append(await complete(world, ref))
    assert answers == [Accepted(ref.document_id)] * 4


async def test_complete_before_the_upload_changes_nothing() -> None:
    """It is a conflict, no signal is sent, and after the upload it works."""
    world = World()
    ref = await world.started()
    with pytest.raises(Conflict):
        await complete(world, ref)
    assert not world.workflows.signals
    world.upload(ref)
    assert await complete(world, ref) == Accepted(ref.document_id)


@pytest.mark.parametrize(
    ("differing", "field"),
    [({"size": 21}, "size"), ({"content_type": "text/html"}, "content_type")],
)
async def test_upload_of_something_else_is_a_conflict(
    differing: dict[str, Any], field: str
) -> None:
    """Each difference is named, and nothing is signalled."""
    world = World()
    ref = await world.started()
    world.upload(ref, **differing)
    with pytest.raises(Conflict) as refused:
        await complete(world, ref)
    assert [m["field"] for m in refused.value.details["mismatches"]] == [field]
    assert not world.workflows.signals


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ("size", ObjectHead(BIG + 1, "text/plain", '"e-3"', "v1", None)),
        ("content_type", ObjectHead(BIG, "text/html", '"e-3"', "v1", None)),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
async def test_an_object_assembled_of_parts_is_compared_with_what_was_announced(
    field: str, found: ObjectHead, is_first: bool
) -> None:
    """As one that came in a piece; also where another completion has assembled it."""
    world = World(SMALL_PARTS)
    ref = ref_of(await announce(world, size=BIG))
    if is_first:
        world.store.assembled = found
    else:
        world.store.open_uploads.clear()
        world.store.objects[ref.object_key] = found
    with pytest.raises(Conflict) as refused:
        await complete(world, ref, ALL_PARTS)
    assert [m["field"] for m in refused.value.details["mismatches"]] == [field]
    assert not world.workflows.signals


async def test_failed_signal_may_be_retried() -> None:
    """Nothing is lost when Temporal goes away between check and signal."""
    world = World(SMALL_PARTS)
    ref = ref_of(await announce(world, size=BIG))
    world.store.assembled = ObjectHead(BIG, "text/plain", '"e-3"', "v1", None)
    world.workflows.fail["signal"] = [TemporalTimeout()]
    with pytest.raises(TemporalTimeout):
        await complete(world, ref, ALL_PARTS)
    assert await complete(world, ref, ALL_PARTS) == Accepted(ref.document_id)
    assert len(world.workflows.signals) == 1


async def test_multipart_needs_every_part_and_a_form_none() -> None:
    """The list is checked before anything is assembled."""
    world = World(SMALL_PARTS)
    ref = ref_of(await announce(world, size=BIG))
    for parts in (None, [], ALL_PARTS[:2]):
        with pytest.raises(ValidationFailed):
            await complete(world, ref, parts)
    assert world.store.open_uploads
    with pytest.raises(ValidationFailed):
        await complete(world, await world.started(), ALL_PARTS)


@pytest.mark.parametrize("state", ["processing", "indexed", "failed"])
async def test_complete_after_the_fact_gives_the_same_answer(state: Any) -> None:
    """What became of it since does not change the answer, open, over or long gone."""
    world = World()
    ref = await world.started()
    world.workflows.become(ref, state)
    assert await complete(world, ref) == Accepted(ref.document_id)
    world.workflows.become(ref, state, closed=True)
    world.core.record(ref, state)
    assert await complete(world, ref) == Accepted(ref.document_id)
    world.workflows.known.clear()
    assert await complete(world, ref) == Accepted(ref.document_id)


@pytest.mark.parametrize("closed", [True, False])
async def test_complete_on_an_expired_document_is_a_conflict(closed: bool) -> None:
    """Its time is over, whether or not its workflow is."""
    world = World()
    ref = await world.started()
    world.workflows.become(ref, "expired", closed=closed)
    world.core.record(ref, "expired")
    with pytest.raises(Conflict):
        await complete(world, ref)


async def test_complete_on_a_deleted_or_unknown_document_is_not_found() -> None:
    """Deleted while awaited, deleted after it was indexed, never there."""
    world = World()
    with pytest.raises(NotFound):
        await complete(world, world.ref())
    awaited, indexed = await world.started(), await world.started()
    world.upload(awaited)
    await world.workflows.cancel(awaited, world.soon())
    world.workflows.become(indexed, "indexed", closed=True)
    for ref in (awaited, indexed):
        with pytest.raises(NotFound):
            await complete(world, ref)
    assert not world.workflows.signals


async def test_document_that_ends_before_the_signal_is_judged_anew() -> None:
    """A signal that finds the workflow over asks what it became."""
    world = World()
    ref = await world.started()
    world.upload(ref)
    world.workflows.fail["signal"] = [NotFound()]
    world.core.record(ref, "expired")
    with pytest.raises(Conflict):
        await complete(world, ref)


@pytest.mark.parametrize(
    ("place", "call", "failure"),
    [
        ("workflows", "describe", TemporalUnavailable()),
        ("store", "head", StorageUnavailable()),
        ("workflows", "signal", TemporalUnavailable()),
    ],
)
async def test_outages_keep_their_names(place: str, call: str, failure: Exception) -> None:
    """Whoever is down is the one that is told of."""
    world = World()
    ref = await world.started()
    world.upload(ref)
    getattr(world, place).fail[call] = [failure]
    with pytest.raises(type(failure)):
        await complete(world, ref)


async def test_core_down_is_told_when_only_the_core_can_know() -> None:
    """A workflow that is over leaves the question to the core."""
    world = World()
    ref = await world.started()
    world.workflows.become(ref, "indexed", closed=True)
    world.core.fail["get_document"] = [CoreUnavailable()]
    with pytest.raises(CoreUnavailable):
        await complete(world, ref)


async def test_completion_waits_a_moment_for_one_that_was_faster() -> None:
    """The upload is taken by another completion whose object is not yet in place."""
    world = World(SMALL_PARTS)
    ref = ref_of(await announce(world, size=BIG))
    world.store.open_uploads.clear()
    world.store.objects[ref.object_key] = ObjectHead(BIG, "text/plain", '"e-3"', "v1", None)
    world.store.not_yet = 3
    assert await complete(world, ref, ALL_PARTS) == Accepted(ref.document_id)


async def test_completion_of_an_aborted_upload_is_a_conflict(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither upload nor object: the wait ends, and nothing is signalled."""
    monkeypatch.setattr(uploads, "IN_PLACE_S", 0.01)
    world = World(SMALL_PARTS)
    ref = ref_of(await announce(world, size=BIG))
    world.store.open_uploads.clear()
    with pytest.raises(Conflict):
        await complete(world, ref, ALL_PARTS)
    assert not world.workflows.signals


@pytest.mark.parametrize("failure", [Conflict(), StorageUnavailable()])
async def test_completion_that_met_a_faster_one_half_way_succeeds(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store may refuse parts that another completion is just using up."""
    world = World(SMALL_PARTS)
    ref = ref_of(await announce(world, size=BIG))
    world.store.fail["complete_multipart"] = [failure]
    world.store.objects[ref.object_key] = ObjectHead(BIG, "text/plain", '"e-3"', "v1", None)
    world.store.not_yet = 1
    assert await complete(world, ref, ALL_PARTS) == Accepted(ref.document_id)
    world.store.objects.clear()
    world.workflows.become(ref, "awaiting_upload")
    monkeypatch.setattr(uploads, "IN_PLACE_S", 0.01)
    world.store.fail["complete_multipart"] = [failure]
    with pytest.raises(type(failure)):
        await complete(world, ref, ALL_PARTS)


async def test_a_thousand_part_urls_leave_others_their_turn() -> None:
    """Signing is pure CPU on the event loop: it pauses so often that no stream falls silent."""
    rules = upload_rules(limit_bytes=8192 * MIB, part_bytes=5 * MIB)
    world = World(rules)
    ref = await world.started(size=5000 * MIB, upload_id="upload-1")
    signed_at_turns: set[int] = set()
    sign, turns = world.store.presign_part, 0

    def counted(*args: object, **kwargs: object) -> object:
        signed_at_turns.add(turns)
        return sign(*args, **kwargs)  # type: ignore[arg-type]

    world.store.presign_part = counted  # type: ignore[assignment,method-assign]

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(somebody_else())
    parts = (await world.uploads.parts(ref, range(1, 1001), world.soon())).parts
    other.cancel()
    assert [part.n for part in parts] == list(range(1, 1001))
    assert len(signed_at_turns) >= 50
