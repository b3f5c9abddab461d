"""Use cases of existing documents: one with its status, a page of them, deletion.

A document exists while its workflow is open and no cancel was requested, or while the core has a
record of it. Once the workflow has ended, only the core's record counts: after a deletion there is
no record, and nothing else shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import msgspec

from gateway.domain.documents import (
    MOST_WARNINGS,
    CoreDocument,
    DocumentRef,
    DocumentState,
    IngestStage,
    UploadStatus,
    decode_cursor,
    download_name,
    download_type,
    encode_cursor,
)
from gateway.domain.ids import is_uuid7
from gateway.errors import (
    Conflict,
    CoreUnavailable,
    GatewayError,
    NotFound,
    StorageUnavailable,
    TemporalTimeout,
    TemporalUnavailable,
    ValidationFailed,
)
from gateway.flows.times import rfc3339
from gateway.ports import Core, Deadline, ObjectStore, OnBehalfOf, Workflows

# How long a Temporal worker may take to report its progress; else the memo's state is shown.
PROGRESS_S = 0.5
# A client follows the redirect at once, and a download that has begun goes on. The clocks of the
# gateway and the store may differ by as much.
CONTENT_S = 60
MOST_A_PAGE = 100
DEFAULT_A_PAGE = 20

# Failures after which a step is tried once more. A core's time-out is not among them: its time
# limit would start again, and the client would wait twice as long for the same answer.
_OUTAGES = (StorageUnavailable, TemporalUnavailable, TemporalTimeout, CoreUnavailable)

T = TypeVar("T")


class Document(msgspec.Struct, frozen=True):
    """A document as the API shows it. ``size`` in bytes, ``progress`` 0..1, times RFC 3339.

    ``stage`` is what is done with a document that is processed, and ``ahead`` about how many wait
    before it, both where they are known. ``warnings`` are sentences for its owner about what of it
    could not be read.
    """

    document_id: str
    filename: str
    content_type: str
    size: int
    status: DocumentState
    progress: float | None
    error: str | None
    created_at: str
    updated_at: str | None = None
    sha256: str | None = None
    stage: IngestStage | None = None
    ahead: int | None = None
    warnings: tuple[str, ...] = ()


class DocumentPage(msgspec.Struct, frozen=True):
    """Newest first; ``next_cursor`` is opaque, ``None`` on the last page."""

    documents: Sequence[Document]
    next_cursor: str | None


class Documents:
    """Use cases over what exists. ``who.subject`` is the owner, ``ref.owner`` too."""

    def __init__(self, *, store: ObjectStore, workflows: Workflows, core: Core) -> None:
        self._store = store
        self._workflows = workflows
        self._core = core

    # --- one ---

    async def get(self, who: OnBehalfOf, ref: DocumentRef, deadline: Deadline) -> Document:
        """Raises ``NotFound`` for an unknown or deleted document.

        The core is asked first: its final record is authoritative, and nearly every requested
        document has one. A deletion removes the record before everything else.
        """
        loop = asyncio.get_running_loop()
        began, failure = loop.time(), None
        try:
            record = await self._core.get_document(who, ref.document_id)
        except GatewayError as exc:
            record, failure = None, exc
        if record is not None and _is_final(record):
            return _from_core(record, None)
        # A core that answers slowly, but in time, must not leave Temporal without time.
        deadline += loop.time() - began
        known = await self._workflows.describe(ref, deadline)
        if known is not None and known.cancelled:
            raise NotFound
        if known is not None and not known.closed:
            return _from_workflow(await self._with_progress(known, deadline))
        if failure is not None:
            raise failure
        if known is None and record is None:
            raise NotFound
        # The workflow may have ended between the two calls; the record then has the result.
        record = await self._core.get_document(who, ref.document_id)
        if record is None:
            raise NotFound
        return _from_core(record, known)

    async def _with_progress(self, known: UploadStatus, deadline: Deadline) -> UploadStatus:
        if known.state != "processing":
            return known
        soon = min(deadline, asyncio.get_running_loop().time() + PROGRESS_S)
        try:
            asked = await self._workflows.progress(known.ref, soon)
        except (TemporalTimeout, TemporalUnavailable):
            return known
        # If the document was deleted meanwhile, the next request shows it: this one found it.
        return asked or known

    async def content_url(
        self, who: OnBehalfOf, ref: DocumentRef, deadline: Deadline, *, head: bool
    ) -> str:
        """Where the bytes of an indexed document are for ``CONTENT_S``, for GET or HEAD.

        The bytes that were indexed: of an object that was stored again since, their version.

        Raises:
            NotFound: there is no such document, or its bytes are gone.
            Conflict: it is not indexed, or the core does not say of which version it is and the
                store has another one now.
        """
        record = await self._indexed(who, ref, deadline)
        if record.version_id is None:
            await self._refuse_other_bytes(ref, record, deadline)
        return self._store.presign_read(
            ref.object_key,
            version_id=record.version_id,
            filename=download_name(record.filename),
            content_type=download_type(record.content_type),
            head=head,
            expires_in_s=CONTENT_S,
        )

    async def _indexed(self, who: OnBehalfOf, ref: DocumentRef, deadline: Deadline) -> CoreDocument:
        record = await self._core.get_document(who, ref.document_id)
        if record is not None and record.status == "indexed":
            return record
        # Whether it is still awaited, or does not exist, is for ``get`` to find out.
        known = await self.get(who, ref, deadline)
        if known.status != "indexed":
            raise Conflict("The document is not indexed.", details={"status": known.status})
        record = await self._core.get_document(who, ref.document_id)
        if record is None:
            raise NotFound
        return record

    async def _refuse_other_bytes(
        self, ref: DocumentRef, record: CoreDocument, deadline: Deadline
    ) -> None:
        head = await self._store.head(ref.object_key, deadline)
        if head is None:
            raise NotFound
        sums = {record.sha256, head.sha256} - {None}
        if head.size != record.size or len(sums) > 1:
            raise Conflict("The document was stored again after it was indexed.")

    # --- many ---

    async def list(
        self,
        who: OnBehalfOf,
        deadline: Deadline,
        *,
        limit: int = DEFAULT_A_PAGE,
        cursor: str | None = None,
    ) -> DocumentPage:
        """The owner's documents: those the core knows and those with an open upload.

        Both lists are ordered by id, and an id never changes, so a document that is added or
        deleted between two pages neither repeats nor hides another one.
        """
        if not 1 <= limit <= MOST_A_PAGE:
            raise ValidationFailed(fields={"?limit": f"1 to {MOST_A_PAGE}"})
        before = None if cursor is None else decode_cursor(cursor)
        # Temporal is asked first: a document that gets indexed between the two calls is then in the
        # core's answer. In the other order it would be in neither.
        uploads = await self._workflows.list_open(who.tenant, who.subject, deadline)
        page, deadline = await _outside_deadline(
            deadline, self._core.list_documents(who, limit=limit, cursor=before)
        )
        recorded = {record.document_id: record for record in page.documents}
        open_ = {s.ref.document_id: s for s in uploads if _is_before(s, before)}
        ids = sorted({*recorded, *open_}, reverse=True)
        shown = ids[:limit]
        fresh = await self._fresh([open_[i] for i in shown if i in open_], deadline)
        documents = [d for i in shown if (d := _merged(recorded.get(i), fresh.get(i)))]
        more = page.more or len(ids) > limit
        return DocumentPage(documents, encode_cursor(shown[-1]) if more and shown else None)

    async def _fresh(
        self, listed: Iterable[UploadStatus], deadline: Deadline
    ) -> dict[str, UploadStatus]:
        """Their present states, as a listing by Temporal is late and shows no cancel requests."""
        described = await asyncio.gather(
            *(self._workflows.describe(status.ref, deadline) for status in listed)
        )
        return {s.ref.document_id: s for s in described if s is not None}

    # --- deletion ---

    async def delete(self, who: OnBehalfOf, ref: DocumentRef, deadline: Deadline) -> None:
        """Writes the tombstone, cancels the workflow, removes the bytes.

        In this order nothing is indexed after the tombstone. Each step may be repeated, so a client
        can repeat a deletion that failed half-way: as long as anything is left of the document, it
        is found.

        Raises:
            NotFound: there is no such document, or it was deleted already.
        """
        known = await self._workflows.describe(ref, deadline)
        if not await self._is_known_here(ref, known, deadline):
            record, deadline = await _outside_deadline(
                deadline, self._core.get_document(who, ref.document_id)
            )
            if record is None:
                raise NotFound
        mark_deleted = _twice(lambda: self._core.delete_document(who, ref.document_id))
        _, deadline = await _outside_deadline(deadline, mark_deleted)
        await _twice(lambda: self._workflows.cancel(ref, deadline))
        await _twice(lambda: self._remove(ref, known, deadline))

    async def _is_known_here(
        self, ref: DocumentRef, known: UploadStatus | None, deadline: Deadline
    ) -> bool:
        """Whether its workflow is open or its bytes exist; if not, only the core may know it."""
        if known is not None and not known.closed and not known.cancelled:
            return True
        return await self._store.head(ref.object_key, deadline) is not None

    async def _remove(
        self, ref: DocumentRef, known: UploadStatus | None, deadline: Deadline
    ) -> None:
        upload_id = known.announced.upload_id if known is not None else None
        if upload_id is not None:
            await self._store.abort_multipart(
                ref.object_key, upload_id=upload_id, deadline=deadline
            )
        await self._store.delete(ref.object_key, deadline)


async def _outside_deadline(deadline: Deadline, work: Awaitable[T]) -> tuple[T, Deadline]:
    """The answer of a core call, and the deadline moved by the time it took.

    Core calls have a time limit of their own. Without this, a core that answers slowly, but in
    time, would leave too little time for the S3 and Temporal calls after it.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await work
    return answer, deadline + loop.time() - began


async def _twice(step: Callable[[], Awaitable[None]]) -> None:
    """Repeats the step once after an outage. Past the deadline the second try fails at once."""
    try:
        await step()
    except _OUTAGES:
        await step()


def _is_final(record: CoreDocument) -> bool:
    """Whether the workflow can no longer change what is shown of the document."""
    return record.status in ("indexed", "failed") and record.sha256 is not None


def _is_before(status: UploadStatus, before: str | None) -> bool:
    document_id = status.ref.document_id
    return is_uuid7(document_id) and (before is None or document_id < before)


def _merged(record: CoreDocument | None, status: UploadStatus | None) -> Document | None:
    """``None`` if it was deleted. ``status`` is given for those that were just listed as open."""
    if status is not None and status.cancelled:
        return None
    if status is not None and (record is None or not status.closed):
        return _from_workflow(status)
    return None if record is None else _from_core(record, status)


def _from_workflow(status: UploadStatus) -> Document:
    announced = status.announced
    return Document(
        document_id=status.ref.document_id,
        filename=announced.filename,
        content_type=announced.content_type,
        size=announced.size,
        sha256=announced.sha256,
        status=status.state,
        progress=status.progress,
        stage=status.stage,
        ahead=status.ahead,
        error=status.error,
        warnings=status.warnings,
        created_at=rfc3339(status.created_at),
    )


def _from_core(record: CoreDocument, ended: UploadStatus | None) -> Document:
    """The core's record; if it is still ``processing``, with the result of its ended workflow."""
    status, error, warnings = record.status, record.error, record.warnings
    if ended is not None and record.status in ("processing", "awaiting_upload"):
        status, error, warnings = ended.state, ended.error, ended.warnings
    return Document(
        document_id=record.document_id,
        filename=record.filename,
        content_type=record.content_type,
        size=record.size,
        sha256=record.sha256 or (ended.announced.sha256 if ended is not None else None),
        status=status,
        progress=1.0 if status == "indexed" else None,
        error=error,
        warnings=warnings[:MOST_WARNINGS],
        created_at=record.created_at,
        updated_at=record.updated_at,
    )
