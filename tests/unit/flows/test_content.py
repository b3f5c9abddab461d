"""The document behind a citation: which bytes a client is led to, and when to none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.documents import CoreDocument, DocumentRef, DocumentState
from gateway.errors import (
    Conflict,
    CoreUnavailable,
    NotFound,
    StorageUnavailable,
    TemporalUnavailable,
)
from tests.unit.flows.documents_world import ALICE, World


async def content(world: World, ref: DocumentRef, *, head: bool = False) -> str:
    return await world.documents.content_url(ALICE, ref, world.soon(), head=head)


def indexed(world: World, ref: DocumentRef, **more: object) -> CoreDocument:
    record = replace(world.core.record(ref), **{"version_id": "v1", **more})  # type: ignore[arg-type]
    world.core.records[ref.document_id] = record
    return record


@pytest.mark.parametrize("head", [False, True])
async def test_an_indexed_document_is_at_its_pinned_version(head: bool) -> None:
    """For a minute, for the client's own method, whatever was stored since."""
    world = World()
    ref = world.ref()
    indexed(world, ref)
    world.store.fail["head"] = [StorageUnavailable()]
    world.workflows.fail["describe"] = [TemporalUnavailable()]
    method = "HEAD" if head else "GET"
    expected = f"{method} {ref.object_key} v1 report.txt text/plain 60"
    assert await content(world, ref, head=head) == expected


async def test_a_page_is_given_out_as_bytes_under_a_safe_name() -> None:
    """Neither the type nor the name that a core tells reaches a browser unchecked."""
    world = World()
    ref = world.ref()
    indexed(world, ref, filename="../a\r\nb.html", content_type="text/html")
    assert await content(world, ref) == (
        f"GET {ref.object_key} v1 .._a__b.html application/octet-stream 60"
    )


@pytest.mark.parametrize("state", ["processing", "failed", "expired"])
async def test_a_document_that_is_not_indexed_is_a_conflict(state: DocumentState) -> None:
    """Nobody has vouched for its bytes; the status is told."""
    world = World()
    ref = await world.started()
    world.workflows.become(ref, state, closed=state != "processing")
    world.core.record(ref, state)
    with pytest.raises(Conflict) as caught:
        await content(world, ref)
    assert caught.value.details == {"status": state}


async def test_an_awaited_document_is_a_conflict() -> None:
    """It exists, and has no bytes yet."""
    world = World()
    ref = await world.started()
    with pytest.raises(Conflict) as caught:
        await content(world, ref)
    assert caught.value.details == {"status": "awaiting_upload"}


async def test_a_document_that_is_not_there_is_not_found() -> None:
    """Unknown, deleted, or somebody else's: no difference."""
    world = World()
    with pytest.raises(NotFound):
        await content(world, world.ref())
    ref = await world.started()
    world.upload(ref)
    await world.documents.delete(ALICE, ref, world.soon())
    with pytest.raises(NotFound):
        await content(world, ref)


async def test_a_core_that_is_away_is_told_so() -> None:
    """Without its record nobody knows which bytes were indexed."""
    world = World()
    ref = await world.started()
    world.core.fail["get_document"] = [CoreUnavailable()]
    with pytest.raises(CoreUnavailable):
        await content(world, ref)


async def test_without_a_version_the_object_must_be_the_indexed_one() -> None:
    """A core that does not say the version: what is stored now, if its size and sum are right."""
    world = World()
    ref = world.ref()
    indexed(world, ref, version_id=None, sha256="a" * 64)
    with pytest.raises(NotFound):
        await content(world, ref)
    for other in ({"size": 21}, {"sha256": "b" * 64}):
        world.upload(ref, **other)
        with pytest.raises(Conflict):
            await content(world, ref)
    world.upload(ref, sha256="a" * 64)
    assert " None " in await content(world, ref)
    world.store.fail["head"] = [StorageUnavailable()]
    with pytest.raises(StorageUnavailable):
        await content(world, ref)
