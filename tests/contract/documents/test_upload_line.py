"""The flows on a real object store and a real Temporal server: announce, upload, complete, look."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway.adapters.temporal import TemporalWorkflows
from gateway.domain.documents import MIB, DocumentRef
from gateway.errors import (
    Conflict,
    NotFound,
    StorageUnavailable,
    TemporalTimeout,
    TemporalUnavailable,
)
from gateway.flows.documents import Documents
from gateway.flows.upload_bodies import Accepted, NewDocument, UploadedPart, UploadTicket
from gateway.flows.uploads import Uploads
from gateway.ports import OnBehalfOf
from tests.contract.documents.conftest import RunningStore, Server, temporal_at
from tests.contract.documents.test_workflows import healthy, until, worker
from tests.unit.flows.documents_world import MemoryCore
from tests.unit.values import upload_rules

ALICE = OnBehalfOf("alice", "acme", frozenset({"editor"}), "request-1")
BODY = b"The quick brown fox jumps over the lazy dog."
TEXT = {
    "filename": "Füchse.txt",
    "content_type": "text/plain",
    "size": len(BODY),
    "sha256": hashlib.sha256(BODY).hexdigest(),
}


class WallClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass
class Line:
    uploads: Uploads
    documents: Documents
    workflows: TemporalWorkflows
    store: RunningStore
    temporal: Server
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def soon(self, seconds: float = 20) -> float:
        return asyncio.get_running_loop().time() + seconds

    async def announce(self, **facts: Any) -> UploadTicket:
        return await self.uploads.create("acme", "alice", NewDocument(**facts), self.soon())

    async def complete(self, ref: DocumentRef, parts: list[UploadedPart] | None = None) -> Accepted:
        return await self.uploads.complete(ALICE, ref, parts, self.soon())


@pytest.fixture
async def line(real_store: RunningStore, temporal: Server) -> AsyncIterator[Line]:
    workflows = await TemporalWorkflows.connect(temporal_at(temporal.port))
    await until(lambda: healthy(workflows))
    core, tasks = MemoryCore(), list[asyncio.Task[None]]()

    def spawn(work: Coroutine[Any, Any, None], name: str) -> None:
        tasks.append(asyncio.get_running_loop().create_task(work, name=name))

    rules = upload_rules(multipart_threshold_bytes=6 * MIB, part_bytes=5 * MIB)
    uploads = Uploads(
        store=real_store.store,
        workflows=workflows,
        core=core,
        clock=WallClock(),
        rules=rules,
        spawn=spawn,
        base_path="/documents",
    )
    documents = Documents(store=real_store.store, workflows=workflows, core=core)
    yield Line(uploads, documents, workflows, real_store, temporal, tasks)
    await asyncio.gather(*tasks)


def ref_of(ticket: UploadTicket) -> DocumentRef:
    return DocumentRef("acme", "alice", ticket.document_id)


async def send(ticket: UploadTicket, body: bytes) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        if ticket.upload.method == "POST":
            fields = dict(ticket.upload.fields or {})
            return await client.post(ticket.upload.url, data=fields, files={"file": ("x", body)})
        return await client.put(ticket.upload.url, content=body, headers=ticket.upload.headers)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("spelled", [None, "", "Text/X-Markdown; charset=utf-8"])
async def test_the_canonical_type_is_signed_stored_and_told(
    line: Line, method: str, spelled: str | None
) -> None:
    """However it was announced: the store, the workflow's memo and the listing say one type."""
    facts = {**TEXT, "filename": "notes.md", "content_type": spelled}
    ticket = await line.announce(**facts, upload_method=method)
    sent = await send(ticket, BODY)
    assert sent.status_code in (200, 204), sent.text
    head = await line.store.store.head(ref_of(ticket).object_key, line.soon())
    assert head is not None
    assert head.content_type == "text/markdown"
    assert await line.complete(ref_of(ticket)) == Accepted(ticket.document_id)
    known = await line.workflows.describe(ref_of(ticket), line.soon())
    assert known is not None
    assert known.announced.content_type == "text/markdown"


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_from_announcement_to_processing(line: Line, method: str) -> None:
    """Early completion is a conflict; after the upload any number of them, also at once, agree."""
    ticket = await line.announce(**TEXT, upload_method=method)
    ref = ref_of(ticket)
    with pytest.raises(Conflict):
        await line.complete(ref)
    assert (await line.documents.get(ALICE, ref, line.soon())).status == "awaiting_upload"
    sent = await send(ticket, BODY)
    assert sent.status_code in (200, 204), sent.text
    answers = await asyncio.gather(*(line.complete(ref) for _ in range(5)))
    assert answers == [Accepted(ref.document_id)] * 5
    async with worker(line.temporal):

        async def processing() -> bool:
            found = await line.documents.get(ALICE, ref, line.soon())
            return (found.status, found.progress) == ("processing", 0.25)

        await until(processing)
        assert await line.complete(ref) == Accepted(ref.document_id)


async def test_large_upload_in_parts(line: Line) -> None:
    """Parts' URLs are asked for twice, every part sent, the whole completed twice at once."""
    bodies = [os.urandom(5 * MIB), os.urandom(2 * MIB)]
    size = sum(map(len, bodies))
    ticket = await line.announce(filename="big.pdf", content_type="application/pdf", size=size)
    assert ticket.upload.part_size == 5 * MIB
    ref = ref_of(ticket)
    await line.uploads.parts(ref, [1, 2], line.soon())
    signed = (await line.uploads.parts(ref, [1, 2], line.soon())).parts
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        sent = [
            await client.put(part.url, content=bodies[part.n - 1], headers=part.headers)
            for part in signed
        ]
    parts = [UploadedPart(n, answer.headers["ETag"]) for n, answer in enumerate(sent, 1)]
    with pytest.raises(Conflict):
        await line.complete(ref, [parts[0], UploadedPart(2, "0" * 32)])
    answers = await asyncio.gather(*(line.complete(ref, parts) for _ in range(8)))
    assert answers == [Accepted(ref.document_id)] * 8


async def test_deleted_while_awaited_with_no_worker(line: Line) -> None:
    """With the upload there and nobody to take up the cancel it is gone all the same."""
    ticket = await line.announce(**TEXT)
    ref = ref_of(ticket)
    await send(ticket, BODY)
    await line.documents.delete(ALICE, ref, line.soon())
    assert await line.store.store.head(ref.object_key, line.soon()) is None
    for look in (
        line.documents.get(ALICE, ref, line.soon()),
        line.complete(ref),
        line.documents.delete(ALICE, ref, line.soon()),
    ):
        with pytest.raises(NotFound):
            await look
    assert (await line.documents.list(ALICE, line.soon())).documents == []


async def test_somebody_elses_id_names_nothing(line: Line) -> None:
    """The same id under another owner is another document, and that one is not there."""
    ticket = await line.announce(**TEXT)
    foreign = DocumentRef("acme", "bob", ticket.document_id)
    bob = OnBehalfOf("bob", "acme", frozenset({"editor"}), "request-2")
    for look in (
        line.documents.get(bob, foreign, line.soon()),
        line.uploads.parts(foreign, [1], line.soon()),
        line.uploads.complete(bob, foreign, None, line.soon()),
        line.documents.delete(bob, foreign, line.soon()),
    ):
        with pytest.raises(NotFound):
            await look


async def test_frozen_components_cost_one_deadline_each_request(line: Line) -> None:
    """Whoever hangs is named at the deadline, and the document is as before afterwards."""
    ticket = await line.announce(**TEXT)
    ref = ref_of(ticket)
    await send(ticket, BODY)
    with line.store.frozen(), pytest.raises(StorageUnavailable):
        await line.uploads.complete(ALICE, ref, None, line.soon(2))
    with line.temporal.frozen(), pytest.raises(TemporalTimeout):
        await line.uploads.complete(ALICE, ref, None, line.soon(2))
    assert await line.complete(ref) == Accepted(ref.document_id)


async def test_start_that_timed_out_leaves_no_document(line: Line) -> None:
    """Frozen while it started: after its return the gateway takes back whatever came of it."""
    announced = NewDocument(
        filename="big.pdf", content_type="application/pdf", size=7 * MIB, sha256=None
    )
    with line.temporal.frozen(), pytest.raises((TemporalTimeout, TemporalUnavailable)):
        await line.uploads.create("acme", "alice", announced, line.soon(2))
    await asyncio.gather(*line.tasks)

    async def nothing_left() -> bool:
        return not (await line.documents.list(ALICE, line.soon())).documents

    await until(nothing_left)
    bucket = await line.store.client.call("list_multipart_uploads", line.soon(), Bucket="documents")
    assert not bucket.get("Uploads")
