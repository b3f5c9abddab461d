"""The side effects of ``UploadWorkflow``: storage, reading, the index, the records.

Every activity can be run again from its start: it replaces what an earlier attempt left. Blocking
work goes to threads, which are asked to stop when the activity is cancelled and waited for, so
that nothing is written after the activity has ended.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from devstack.core import upload_workflow as names
from devstack.core.chunking import split
from devstack.core.documents import (
    Announced,
    Completed,
    parse_announced,
    parse_completed,
    parse_time,
    rfc3339,
    upload_deadline,
)
from devstack.core.index import IndexBuilder
from devstack.core.progress import BOARD
from devstack.core.reading.blocks import ReadDocument
from devstack.core.reading.faults import Unreadable
from devstack.core.reading.sandbox import read_file
from devstack.core.registry import DocumentDeleted, Registry
from devstack.core.settings import Settings
from devstack.core.storage import OUTAGES, ObjectChanged, ObjectGone, ObjectTooLong, Storage
from devstack.core.sweep import remove_leftovers
from devstack.core.upload_workflow import Job

logger = logging.getLogger(__name__)

T = TypeVar("T")
HEARTBEAT_S = 1.0
# Each may take as much memory as the reader's limit allows.
PARALLEL_READERS = 2


def broken(message: str) -> ApplicationError:
    """A fault of the document itself: final, with a message for the user."""
    return ApplicationError(message, type=names.BROKEN, non_retryable=True)


async def _beating(work: Coroutine[Any, Any, T]) -> T:
    """Await work and send Temporal heartbeats, whose answers also carry a cancel request."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            activity.heartbeat()
            await asyncio.wait([task], timeout=HEARTBEAT_S)
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _in_thread(work: Callable[[threading.Event], T]) -> T:
    """Run blocking work in a thread; when cancelled, ask it to stop and wait until it has."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    finally:
        stop.set()
        await asyncio.gather(task, return_exceptions=True)


class Activities:
    """The activities of one worker process."""

    def __init__(
        self, settings: Settings, registry: Registry, builder: IndexBuilder, storage: Storage
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._builder = builder
        self._storage = storage
        self._staging = settings.data_dir / "staging"
        self._readers = asyncio.Semaphore(PARALLEL_READERS)

    def all(self) -> list[Callable[..., Any]]:
        """What the worker registers."""
        return [
            self.admit, self.verify, self.parse, self.index, self.fail, self.expire, self.discard
        ]  # fmt: skip

    @activity.defn(name=names.ADMIT)
    async def admit(self, job: Job) -> str:
        """When this upload expires, RFC 3339."""
        deadline = upload_deadline(
            parse_announced(job.announced),
            parse_time(job.created_at),
            timeout_s=self._settings.upload_timeout_s,
            grace_s=self._settings.expiry_grace_s,
        )
        return rfc3339(deadline)

    @activity.defn(name=names.VERIFY)
    async def verify(self, job: Job, completed: dict[str, Any]) -> str:
        """Copy the completed version here and compare it with what was announced; its SHA-256."""
        upload, pinned = parse_announced(job.announced), parse_completed(completed)
        if pinned is None:
            raise broken("The upload was completed without saying which object it was.")
        await self._write(self._registry.begin, upload, parse_time(job.created_at))
        if pinned.version_id is not None:
            document = (upload.owner, upload.document_id)
            await self._write(self._registry.pin, *document, pinned.version_id)
        with BOARD.working(upload.workflow_id, "fetching"):
            return await _beating(_in_thread(lambda stop: self._download(upload, pinned, stop)))

    def _download(self, upload: Announced, pinned: Completed, stop: threading.Event) -> str:
        if pinned.size is not None and pinned.size != upload.size:
            raise _wrong_size(upload, f"{pinned.size:,}")
        directory = self._directory(upload)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            found = self._storage.download(
                upload.object_key,
                directory / "object",
                version_id=pinned.version_id,
                etag=pinned.etag,
                limit_bytes=upload.size,
                stop=stop,
            )
        except ObjectGone as fault:
            raise broken("The uploaded file is no longer in storage.") from fault
        except ObjectChanged as fault:
            raise broken("The uploaded file was replaced after it had been completed.") from fault
        except ObjectTooLong as fault:
            raise _wrong_size(upload, f"more than {upload.size:,}") from fault
        if found.size != upload.size:
            raise _wrong_size(upload, f"{found.size:,}")
        if upload.sha256 is not None and found.sha256 != upload.sha256:
            raise broken("The uploaded file's SHA-256 is not the one that was announced.")
        return found.sha256

    @activity.defn(name=names.PARSE)
    async def parse(self, job: Job) -> dict[str, Any]:
        """Read the file in a process of its own and keep its chunks; ``{"chunks", "warnings"}``."""
        upload = parse_announced(job.announced)
        return await _beating(self._parse(upload))

    async def _parse(self, upload: Announced) -> dict[str, Any]:
        directory = self._directory(upload)
        if not (directory / "object").is_file():
            raise ApplicationError("the verified copy is gone", non_retryable=True)
        document = await self._read(upload, directory)
        with BOARD.working(upload.workflow_id, "splitting"):
            chunks = await _in_thread(lambda stop: split(upload.document_id, document, stop))
            await self._write(
                *(self._registry.put_chunks, upload.owner, upload.document_id),
                *(chunks, document.warnings),
            )
        return {"chunks": len(chunks), "warnings": list(document.warnings)}

    async def _read(self, upload: Announced, directory: Path) -> ReadDocument:
        name = upload.workflow_id
        with BOARD.waiting(name):
            await self._readers.acquire()
        try:
            with BOARD.working(name, "reading"):
                return await read_file(
                    *(directory / "object", directory / "blocks.json", upload.content_type),
                    tell=lambda share: BOARD.enter(name, "reading", share),
                )
        except Unreadable as fault:
            raise broken(str(fault)) from fault
        finally:
            self._readers.release()

    @activity.defn(name=names.INDEX)
    async def index(self, job: Job, sha256: str) -> None:
        """Bring the owner's index up to date, then show the document."""
        upload = parse_announced(job.announced)
        with BOARD.working(upload.workflow_id, "indexing"):
            await _beating(_in_thread(lambda stop: self._builder.refresh(upload.owner, stop)))
        await self._write(self._registry.mark_indexed, upload.owner, upload.document_id, sha256)
        await self._clear(upload)
        await self._remove_others(upload)

    @activity.defn(name=names.FAIL)
    async def fail(self, job: Job, message: str) -> None:
        """Record that the document failed, and why."""
        await self._end(job, "failed", message)

    @activity.defn(name=names.EXPIRE)
    async def expire(self, job: Job, message: str) -> None:
        """Record that the upload expired, and remove whatever part of it came."""
        upload = parse_announced(job.announced)
        # The record is written first: the sweep finds what is missed here by it.
        await self._end(job, "expired", message)
        if upload.upload_id is not None:
            upload_id = upload.upload_id
            await _beating(asyncio.to_thread(self._storage.abort, upload.object_key, upload_id))
        await _beating(asyncio.to_thread(self._storage.remove, upload.object_key))

    @activity.defn(name=names.DISCARD)
    async def discard(self, job: Job) -> None:
        """Leave nothing of a document whose workflow was cancelled, which is how one is deleted."""
        upload = parse_announced(job.announced)
        await asyncio.to_thread(self._registry.tombstone, upload.owner, upload.document_id)
        await _beating(_in_thread(lambda stop: self._builder.refresh(upload.owner, stop)))
        await self._clear(upload)

    async def _end(self, job: Job, status: Any, message: str) -> None:
        upload = parse_announced(job.announced)
        created_at: datetime = parse_time(job.created_at)
        try:
            await asyncio.to_thread(self._registry.finish, upload, created_at, status, message)
        except DocumentDeleted:
            logger.info("document was deleted, not recorded as %s", status)
        await _beating(_in_thread(lambda stop: self._builder.refresh(upload.owner, stop)))
        await self._clear(upload)

    async def _remove_others(self, upload: Announced) -> None:
        """Remove what else was stored under the document's key.

        It is indexed already: an outage now must not make it a failure, and the sweep comes by.
        """
        owned = (self._registry, self._storage, upload.object_key)
        try:
            await _beating(asyncio.to_thread(remove_leftovers, *owned))
        except OUTAGES:
            logger.warning("other versions not removed; the sweep will", exc_info=True)

    async def _write(self, write: Callable[..., None], *arguments: Any) -> None:
        try:
            await asyncio.to_thread(write, *arguments)
        except DocumentDeleted as fault:
            raise ApplicationError(
                "deleted meanwhile", type=names.DELETED, non_retryable=True
            ) from fault

    def _directory(self, upload: Announced) -> Path:
        return self._staging / upload.owner.tenant / upload.owner.subject / upload.document_id

    async def _clear(self, upload: Announced) -> None:
        await asyncio.to_thread(shutil.rmtree, self._directory(upload), ignore_errors=True)


def _wrong_size(upload: Announced, found: str) -> ApplicationError:
    return broken(f"The uploaded file has {found} bytes; {upload.size:,} were announced.")
