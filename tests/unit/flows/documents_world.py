"""Object store, Temporal and core in memory, each of which can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.domain.core_records import Passage
from gateway.domain.documents import (
    Announced,
    CoreDocument,
    DocumentRef,
    DocumentState,
    ObjectHead,
    UploadRules,
    UploadStatus,
)
from gateway.domain.ids import new_uuid7
from gateway.errors import Conflict, NotFound
from gateway.flows.documents import Documents
from gateway.flows.uploads import Uploads
from gateway.ports import CorePage, CoreStream, OnBehalfOf, PresignedUpload
from tests.unit.values import upload_rules

NOW = 1_800_000_000.0
ALICE = OnBehalfOf("alice", "acme", frozenset({"editor"}), "request-1")


class StoppedClock:
    now = NOW

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@dataclass
class Failing:
    """``fail["head"] = [StorageUnavailable()]``: the next calls of ``head`` raise these."""

    fail: dict[str, list[BaseException]] = field(default_factory=dict)

    def _maybe(self, call: str) -> None:
        waiting = self.fail.get(call)
        if waiting:
            raise waiting.pop(0)


@dataclass
class MemoryStore(Failing):
    objects: dict[str, ObjectHead] = field(default_factory=dict)
    open_uploads: dict[str, str] = field(default_factory=dict)
    assembled: ObjectHead | None = None
    not_yet: int = 0

    def presign_post(self, key: str, announced: Announced, *, expires_in_s: int) -> PresignedUpload:
        return PresignedUpload("https://s3.test/", {"key": key, "for": str(expires_in_s)}, {})

    def presign_put(self, key: str, announced: Announced, *, expires_in_s: int) -> PresignedUpload:
        return PresignedUpload(f"https://s3.test/{key}", {}, {"Content-Type": "text/plain"})

    def presign_part(
        self, key: str, *, upload_id: str, n: int, size: int, expires_in_s: int
    ) -> PresignedUpload:
        url = f"https://s3.test/{key}?{upload_id}&{n}&{size}&{expires_in_s}"
        return PresignedUpload(url, {}, {})

    def presign_read(
        self,
        key: str,
        *,
        version_id: str | None,
        filename: str,
        content_type: str,
        head: bool,
        expires_in_s: int,
    ) -> str:
        method = "HEAD" if head else "GET"
        return f"{method} {key} {version_id} {filename} {content_type} {expires_in_s}"

    async def create_multipart(self, key: str, announced: Announced, deadline: float) -> str:
        self._maybe("create_multipart")
        self.open_uploads["upload-1"] = key
        return "upload-1"

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[tuple[int, str]], deadline: float
    ) -> None:
        self._maybe("complete_multipart")
        if self.open_uploads.pop(upload_id, None) and self.assembled is not None:
            self.objects[key] = self.assembled

    async def abort_multipart(self, key: str, *, upload_id: str, deadline: float) -> None:
        self._maybe("abort_multipart")
        self.open_uploads.pop(upload_id, None)

    async def head(self, key: str, deadline: float) -> ObjectHead | None:
        self._maybe("head")
        if self.not_yet > 0:
            self.not_yet -= 1
            return None
        return self.objects.get(key)

    async def delete(self, key: str, deadline: float) -> None:
        self._maybe("delete")
        self.objects.pop(key, None)

    async def check(self, deadline: float) -> None:
        return None


@dataclass
class MemoryWorkflows(Failing):
    """``started_anyway``: a failing ``start`` took effect all the same, as a lost answer does."""

    known: dict[str, UploadStatus] = field(default_factory=dict)
    signals: list[tuple[str, ObjectHead]] = field(default_factory=list)
    started_anyway: bool = False
    worker_alive: bool = True
    lagging: list[UploadStatus] = field(default_factory=list)
    cancelled_by: float = 0

    async def start(self, ref: DocumentRef, announced: Announced, deadline: float) -> None:
        if ref.workflow_id in self.known:
            raise Conflict
        status = UploadStatus(ref, announced, "awaiting_upload", False, NOW)
        if self.started_anyway or not self.fail.get("start"):
            self.known[ref.workflow_id] = status
        self._maybe("start")

    async def describe(self, ref: DocumentRef, deadline: float) -> UploadStatus | None:
        self._maybe("describe")
        return self.known.get(ref.workflow_id)

    async def progress(self, ref: DocumentRef, deadline: float) -> UploadStatus | None:
        self._maybe("progress")
        found = self.known.get(ref.workflow_id)
        return replace(found, progress=0.5) if found and self.worker_alive else None

    async def signal_completed(self, ref: DocumentRef, head: ObjectHead, deadline: float) -> None:
        self._maybe("signal")
        found = self.known.get(ref.workflow_id)
        if found is None or found.closed:
            raise NotFound
        self.signals.append((ref.document_id, head))
        if self.worker_alive:
            self.become(ref, "processing")

    async def cancel(self, ref: DocumentRef, deadline: float) -> None:
        self._maybe("cancel")
        self.cancelled_by = deadline
        found = self.known.get(ref.workflow_id)
        if found is not None and not found.closed:
            self.known[ref.workflow_id] = replace(found, cancelled=True)

    async def list_open(self, tenant: str, owner: str, deadline: float) -> Sequence[UploadStatus]:
        self._maybe("list_open")
        mine = [s for s in self.known.values() if (s.ref.tenant, s.ref.owner) == (tenant, owner)]
        return [s for s in mine if not s.closed] + self.lagging

    async def check(self, deadline: float) -> None:
        return None

    def become(self, ref: DocumentRef, state: DocumentState, *, closed: bool = False) -> None:
        found = self.known[ref.workflow_id]
        self.known[ref.workflow_id] = replace(found, state=state, closed=closed)


@dataclass
class MemoryCore(Failing):
    records: dict[str, CoreDocument] = field(default_factory=dict)
    tombstones: set[str] = field(default_factory=set)
    takes_s: float = 0

    async def open_query(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        on_sent: Callable[[], None] | None = None,
    ) -> CoreStream:
        raise NotImplementedError

    async def search(self, who: OnBehalfOf, body: Mapping[str, Any]) -> Sequence[Passage]:
        raise NotImplementedError

    async def list_documents(self, who: OnBehalfOf, *, limit: int, cursor: str | None) -> CorePage:
        self._maybe("list_documents")
        ids = sorted((i for i in self.records if cursor is None or i < cursor), reverse=True)
        return CorePage([self.records[i] for i in ids[:limit]], more=len(ids) > limit)

    async def get_document(self, who: OnBehalfOf, document_id: str) -> CoreDocument | None:
        self._maybe("get_document")
        return self.records.get(document_id)

    async def delete_document(self, who: OnBehalfOf, document_id: str) -> None:
        self._maybe("delete_document")
        await asyncio.sleep(self.takes_s)
        self.tombstones.add(document_id)
        self.records.pop(document_id, None)

    async def check(self) -> None:
        return None

    def record(self, ref: DocumentRef, status: DocumentState = "indexed") -> CoreDocument:
        record = CoreDocument(
            ref.document_id,
            "report.txt",
            "text/plain",
            20,
            status,
            None,
            "2027-01-15T08:00:00Z",
            "2027-01-15T08:00:05Z",
        )
        self.records[ref.document_id] = record
        return record


class World:
    """Both flows over everything in memory."""

    def __init__(self, rules: UploadRules | None = None) -> None:
        self.store = MemoryStore()
        self.workflows = MemoryWorkflows()
        self.core = MemoryCore()
        self.clock = StoppedClock()
        self.tasks: list[asyncio.Task[None]] = []
        self.uploads = Uploads(
            store=self.store,
            workflows=self.workflows,
            core=self.core,
            clock=self.clock,
            rules=rules or upload_rules(),
            spawn=self._spawn,
            base_path="/api/v1/documents",
        )
        self.documents = Documents(store=self.store, workflows=self.workflows, core=self.core)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> object:
        self.tasks.append(asyncio.get_running_loop().create_task(work, name=name))
        return self.tasks[-1]

    async def background_done(self) -> None:
        await asyncio.gather(*self.tasks)

    def soon(self) -> float:
        return asyncio.get_running_loop().time() + 10

    def ref(self, age_s: float = 0) -> DocumentRef:
        return DocumentRef("acme", "alice", new_uuid7(NOW - age_s))

    async def started(self, age_s: float = 0, **announced: Any) -> DocumentRef:
        """A document whose upload is awaited."""
        ref = self.ref(age_s)
        facts: dict[str, Any] = {
            "filename": "report.txt",
            "content_type": "text/plain",
            "size": 20,
            "sha256": None,
            "upload_id": None,
            "expires_at": int(NOW) + 900,
            **announced,
        }
        await self.workflows.start(ref, Announced(**facts), self.soon())
        return ref

    def upload(self, ref: DocumentRef, **differing: Any) -> ObjectHead:
        head = replace(ObjectHead(20, "text/plain", '"e"', "v1", None), **differing)
        self.store.objects[ref.object_key] = head
        return head
