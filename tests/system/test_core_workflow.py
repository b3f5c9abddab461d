"""The core's two processes with a real Temporal and a real S3: from an upload to its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

from devstack.components import free_port
from devstack.core.reading.formats import DOCX, PDF
from devstack.core.reading.formats import TEXT as TEXT_TYPE
from tests.system.core_fixtures import (
    BUCKET,
    Bucket,
    CoreApi,
    answer_text,
    core_process,
    forwarding,
    running_temporal,
    started,
    uuid7,
    versioned_bucket,
)
from tests.unit.devstack.core import sample_files

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "core-token-of-the-tests"
LIMIT_S = 60.0
TEXT = (
    b"The lighthouse of Alexandria stood on the island of Pharos. "
    b"It was built by Sostratus of Cnidus. Bread is made of flour."
)


@dataclass(frozen=True)
class Stack:
    """All components running, and the data directory both core processes share."""

    temporal: Client
    bucket: Bucket
    api: CoreApi
    data_dir: Path
    environ: dict[str, str]

    async def start(
        self, body: bytes = TEXT, task_queue: str = "documents", **announced: Any
    ) -> WorkflowHandle[Any, Any]:
        """Start a workflow as the gateway does: its argument is the memo as well."""
        argument = {
            "document_id": uuid7(),
            "tenant": self.api.tenant,
            "owner": self.api.subject,
            "filename": "pharos.txt",
            "content_type": "text/plain",
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            **announced,
        }
        return await self.temporal.start_workflow(
            "UploadWorkflow",
            argument,
            id=f"upload/{argument['tenant']}/{argument['owner']}/{argument['document_id']}",
            task_queue=task_queue,
            memo=argument,
        )

    async def upload(self, body: bytes = TEXT, **announced: Any) -> WorkflowHandle[Any, Any]:
        """Start, store and complete."""
        handle = await self.start(body, **announced)
        await self.complete(handle, self.store(handle, body))
        return handle

    def store(self, handle: WorkflowHandle[Any, Any], body: bytes) -> dict[str, Any]:
        return self.bucket.put(object_key(handle), body)

    async def complete(self, handle: WorkflowHandle[Any, Any], stored: dict[str, Any]) -> None:
        await handle.signal("upload_completed", stored)


def object_key(handle: WorkflowHandle[Any, Any]) -> str:
    return handle.id.replace("upload/", "uploads/", 1)


def document_id(handle: WorkflowHandle[Any, Any]) -> str:
    return handle.id.rsplit("/", 1)[1]


async def outcome(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    return await asyncio.wait_for(handle.result(), LIMIT_S)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition; it is the subject's word that ends the wait, not the clock."""
    async with asyncio.timeout(LIMIT_S):
        while not await condition():  # noqa: ASYNC110  (it is in another process)
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    data_dir = tmp_path_factory.mktemp("core")
    async with (
        versioned_bucket(tmp_path_factory.mktemp("s3")) as bucket,
        running_temporal() as temporal,
        aiohttp.ClientSession() as session,
    ):
        environ = {
            "CORE_DATA_DIR": str(data_dir),
            "CORE_TOKEN": TOKEN,
            "CORE_PORT": "0",
            "CORE_TEMPORAL_ADDRESS": temporal.client.service_client.config.target_host,
            "CORE_S3_ENDPOINT": bucket.endpoint,
            "CORE_S3_BUCKET": BUCKET,
            "CORE_S3_ACCESS_KEY": bucket.access_key,
            "CORE_S3_SECRET_KEY": bucket.secret_key,
            "CORE_EXPIRY_GRACE_S": "1",
            "CORE_SWEEP_INTERVAL_S": "0.5",
            "CORE_EXIT_WITH_STDIN": "1",
        }
        async with (
            core_process("serve", environ) as (_, ready),
            core_process("worker", environ) as (_, worker_ready),
        ):
            assert worker_ready["ready"] is True
            assert worker_ready["component"] == "worker"
            api = CoreApi(session, f"http://127.0.0.1:{ready['port']}", TOKEN)
            yield Stack(temporal.client, bucket, api, data_dir, environ)


async def test_uploaded_text_is_indexed_and_answers_with_a_citation(stack: Stack) -> None:
    """From upload to a cited answer, with the state in query, memo and record."""
    handle = await stack.upload()
    expected = {"state": "indexed", "progress": 1.0, "warnings": [], "error": None}
    assert await outcome(handle) == expected
    status, record = await stack.api.call("GET", f"/v1/documents/{document_id(handle)}")
    assert status == 200
    assert record is not None
    assert record["status"] == "indexed"
    assert record["chunks"] >= 1
    events = await stack.api.ask("Who built the lighthouse?", document_ids=[document_id(handle)])
    names = [name for name, _ in events]
    assert names[:2] == ["meta", "sources"]
    assert names[-2:] == ["usage", "done"]
    assert events[-1][1] == {"finish_reason": "stop"}
    sources, answer = events[1][1], answer_text(events)
    assert sources[0]["document_id"] == document_id(handle)
    assert sources[0]["filename"] == "pharos.txt"
    citations = [data for name, data in events if name == "citation"]
    assert citations
    for citation in citations:
        quoted = answer[citation["start"] : citation["end"]]
        assert quoted in sources[citation["source"]]["text"]
    assert "lighthouse" in answer
    memo = await (await handle.describe()).memo()
    assert memo["state"] == "indexed"
    assert memo["filename"] == "pharos.txt"


async def test_wrong_size_fails_the_document(stack: Stack) -> None:
    """An object of another size than announced is not indexed, whatever the signal says."""
    handle = await stack.start(size=len(TEXT) + 1, sha256=None)
    stored = stack.store(handle, TEXT)
    await stack.complete(handle, {**stored, "size": len(TEXT) + 1})
    await expect_failure(stack, handle, "were announced")
    longer = await stack.start(size=len(TEXT) - 1, sha256=None)
    stored = stack.store(longer, TEXT)
    await stack.complete(longer, {**stored, "size": None})
    await expect_failure(stack, longer, "were announced")


async def test_wrong_checksum_fails_the_document(stack: Stack) -> None:
    """The bytes that are read are the ones whose hash was announced, or nothing is indexed."""
    handle = await stack.upload(sha256="0" * 64)
    await expect_failure(stack, handle, "SHA-256")


async def expect_failure(stack: Stack, handle: WorkflowHandle[Any, Any], message: str) -> None:
    """A failed document: told by the workflow's end, its memo and its record, and not findable."""
    status = await outcome(handle)
    assert status["state"] == "failed"
    assert message in status["error"]
    memo = await (await handle.describe()).memo()
    assert (memo["state"], memo["error"]) == ("failed", status["error"])
    code, record = await stack.api.call("GET", f"/v1/documents/{document_id(handle)}")
    assert code == 200
    assert record is not None
    assert (record["status"], record["error"]) == ("failed", status["error"])
    events = dict(await stack.api.ask("text flour", document_ids=[document_id(handle)]))
    assert events["sources"] == []
    staging = stack.data_dir / "staging" / stack.api.tenant / stack.api.subject
    assert not (staging / document_id(handle)).exists()


BROKEN = {
    "empty": (b"", TEXT_TYPE, "empty"),
    "scan": (sample_files.pdf("", ""), PDF, "scan"),
    "password": (sample_files.encrypted_pdf("Secret text.", "s3cret"), PDF, "password"),
    "not a pdf": (b"just text", PDF, "not a PDF"),
    "bomb": (sample_files.docx_bomb(300_000_000), DOCX, "bomb"),
    "cut UTF-16": ("Café text".encode("utf-16")[:-1], TEXT_TYPE, "UTF-8"),
    "50 MB of text": (b"text " * 10_000_000, TEXT_TYPE, "10,000,000 characters"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_file_fails_with_a_message_for_its_owner(stack: Stack, name: str) -> None:
    """A file that cannot be read is an outcome with a reason, and is tried once."""
    body, content_type, message = BROKEN[name]
    handle = await stack.upload(body, content_type=content_type)
    await expect_failure(stack, handle, message)


async def test_pdf_is_cited_with_its_page(stack: Stack) -> None:
    """A source out of a PDF says which page it is on."""
    body = sample_files.pdf("Nothing here.", "The zeppelin flew over the bay.")
    handle = await stack.upload(body, filename="air.pdf", content_type=PDF)
    assert (await outcome(handle))["state"] == "indexed"
    events = await stack.api.ask("zeppelin", document_ids=[document_id(handle)])
    assert dict(events)["sources"][0]["page"] == 2
    assert answer_text(events) == "The zeppelin flew over the bay."


async def test_pages_that_could_not_be_read_are_told(stack: Stack) -> None:
    """What is missing of an indexed document is in its workflow, its memo and its record."""
    body = sample_files.pdf("The first page.", "")
    handle = await stack.upload(body, filename="half.pdf", content_type=PDF)
    status = await outcome(handle)
    (warning,) = status["warnings"]
    assert status["state"] == "indexed"
    assert warning.startswith("Page 2 of 2 could not be read")
    memo = await (await handle.describe()).memo()
    assert memo["warnings"] == [warning]
    _, record = await stack.api.call("GET", f"/v1/documents/{document_id(handle)}")
    assert record is not None
    assert record["warnings"] == [warning]


async def test_upload_that_is_never_completed_expires_and_leaves_nothing(stack: Stack) -> None:
    """At its form's end and the grace the object and the open multipart upload are removed."""
    client = stack.bucket.client
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    document = uuid7()
    key = f"uploads/acme/alice/{document}"
    multipart = client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
    stack.bucket.put(key, TEXT)
    handle = await stack.start(document_id=document, upload_id=multipart, expires_at=past)
    status = await outcome(handle)
    assert status["state"] == "expired"
    memo = await (await handle.describe()).memo()
    assert memo["state"] == "expired"
    _, record = await stack.api.call("GET", f"/v1/documents/{document}")
    assert record is not None
    assert record["status"] == "expired"
    assert stack.bucket.versions(key) == []
    uploads = client.list_multipart_uploads(Bucket=BUCKET, Prefix=key)
    assert uploads.get("Uploads", []) == []


async def test_expiry_comes_after_the_forms_end_and_the_grace(stack: Stack) -> None:
    """An upload whose form has just ended still has the grace, here one second."""
    form_ends = datetime.now(UTC) + timedelta(seconds=4)
    handle = await stack.start(expires_at=form_ends.isoformat())
    status = await handle.query("status")
    assert status == {"state": "awaiting_upload", "progress": 0.0, "warnings": [], "error": None}
    assert (await outcome(handle))["state"] == "expired"
    description = await handle.describe()
    assert description.close_time is not None
    assert description.close_time - form_ends >= timedelta(seconds=0.9)


async def test_object_that_comes_after_the_end_is_swept(stack: Stack) -> None:
    """What is stored late under an expired or deleted document is found and removed."""
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    expired = await stack.start(expires_at=past)
    await outcome(expired)
    deleted = uuid7()
    await stack.api.call("DELETE", f"/v1/documents/{deleted}")
    for key in (object_key(expired), f"uploads/acme/alice/{deleted}"):
        for _ in range(3):  # one form can be sent as often as its holder likes
            await asyncio.to_thread(stack.bucket.put, key, TEXT)

        async def is_gone(key: str = key) -> bool:
            return not await asyncio.to_thread(stack.bucket.versions, key)

        await until(is_gone)
        assert stack.bucket.versions(key) == []


async def test_all_that_one_form_stored_is_removed_but_what_was_completed(stack: Stack) -> None:
    """35 versions before the end of indexing, and what comes later: the completed one stays."""
    handle = await stack.start()
    key, other = object_key(handle), TEXT.replace(b"lighthouse", b"submarines")
    for _ in range(17):
        await asyncio.to_thread(stack.bucket.put, key, other)
    stored = stack.store(handle, TEXT)
    for _ in range(17):
        await asyncio.to_thread(stack.bucket.put, key, other)
    await stack.complete(handle, stored)
    assert (await outcome(handle))["state"] == "indexed"
    assert stack.bucket.versions(key) == [stored["version_id"]]
    for _ in range(3):
        await asyncio.to_thread(stack.bucket.put, key, other)

    async def swept() -> bool:
        return await asyncio.to_thread(stack.bucket.versions, key) == [stored["version_id"]]

    await until(swept)
    assert (await stack.api.call("GET", f"/v1/documents/{document_id(handle)}"))[0] == 200


async def test_the_workflow_itself_removes_what_else_its_form_stored(
    stack: Stack, tmp_path: Path
) -> None:
    """Its worker has swept already, and that of the other one knows nothing of this document."""
    environ = {
        **stack.environ,
        "CORE_TASK_QUEUE": "unswept",
        "CORE_DATA_DIR": str(tmp_path),
        "CORE_SWEEP_INTERVAL_S": "3600",
    }
    async with core_process("worker", environ):
        first = await stack.upload(task_queue="unswept")
        assert (await outcome(first))["state"] == "indexed"
        handle = await stack.start(task_queue="unswept")
        stack.store(handle, TEXT)
        stored = stack.store(handle, TEXT)
        stack.store(handle, TEXT)
        await stack.complete(handle, stored)
        assert (await outcome(handle))["state"] == "indexed"
    assert stack.bucket.versions(object_key(handle)) == [stored["version_id"]]


async def test_a_failed_document_keeps_what_was_completed(stack: Stack) -> None:
    """Its owner may want to know what was wrong with it; the rest of the form's versions goes."""
    handle = await stack.start(sha256="0" * 64)
    stored = stack.store(handle, TEXT)
    stack.store(handle, TEXT)
    await stack.complete(handle, stored)
    assert (await outcome(handle))["state"] == "failed"

    async def swept() -> bool:
        kept = await asyncio.to_thread(stack.bucket.versions, object_key(handle))
        return kept == [stored["version_id"]]

    await until(swept)


async def test_living_documents_objects_are_not_swept(stack: Stack) -> None:
    """The sweep removes what belongs to ended documents and nothing else."""
    waiting, indexed = await stack.start(), await stack.upload()
    stack.store(waiting, TEXT)
    await outcome(indexed)
    late = uuid7()
    await stack.api.call("DELETE", f"/v1/documents/{late}")
    await asyncio.to_thread(stack.bucket.put, f"uploads/acme/alice/{late}", TEXT)

    async def swept() -> bool:
        return not await asyncio.to_thread(stack.bucket.versions, f"uploads/acme/alice/{late}")

    await until(swept)
    assert len(stack.bucket.versions(object_key(waiting))) == 1
    assert len(stack.bucket.versions(object_key(indexed))) == 1
    await waiting.cancel()


async def test_signal_after_the_first_does_nothing(stack: Stack) -> None:
    """Completing twice indexes what was completed first."""
    handle = await stack.start()
    first = stack.store(handle, TEXT)
    other = {"etag": '"other"', "version_id": "no-such-version", "size": 1}
    await stack.complete(handle, first)
    await stack.complete(handle, other)
    assert (await outcome(handle))["state"] == "indexed"


async def test_malformed_signal_is_ignored(stack: Stack) -> None:
    """A stray signal neither ends the wait nor breaks the workflow."""
    handle = await stack.start()
    for stray in ({}, {"etag": ""}, [], "x", None):
        await handle.signal("upload_completed", stray)
    assert (await handle.query("status"))["state"] == "awaiting_upload"
    await stack.complete(handle, stack.store(handle, TEXT))
    assert (await outcome(handle))["state"] == "indexed"


async def test_second_upload_to_the_same_key_is_not_read(stack: Stack) -> None:
    """The version that was completed is pinned; what is stored later is not looked at."""
    handle = await stack.start()
    stored = stack.store(handle, TEXT)
    stack.store(handle, TEXT.replace(b"lighthouse", b"submarines"))
    await stack.complete(handle, stored)
    assert (await outcome(handle))["state"] == "indexed"
    events = dict(await stack.api.ask("submarines", document_ids=[document_id(handle)]))
    assert events["sources"] == []


async def test_object_replaced_after_completion_fails_where_only_its_etag_is_known(
    stack: Stack,
) -> None:
    """Without a version the ETag must match, or the document is not indexed."""
    handle = await stack.start()
    stored = stack.store(handle, TEXT)
    stack.store(handle, TEXT.replace(b"lighthouse", b"submarines"))
    await stack.complete(handle, {**stored, "version_id": None})
    await expect_failure(stack, handle, "replaced")
    unchanged = await stack.start()
    stored = stack.store(unchanged, TEXT)
    await stack.complete(unchanged, {**stored, "version_id": None})
    assert (await outcome(unchanged))["state"] == "indexed"


@contextlib.contextmanager
def index_locked(stack: Stack, subject: str) -> Iterator[None]:
    """Hold the owner's builder lock, so that indexing has begun and cannot end."""
    directory = stack.data_dir / "index" / stack.api.tenant / subject
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def test_document_deleted_while_being_indexed_leaves_nothing(stack: Stack) -> None:
    """Tombstone and cancel in the middle of indexing: the workflow ends, and nothing is found."""
    api = replace(stack.api, subject="deleter")
    mine = replace(stack, api=api)
    with index_locked(mine, "deleter"):
        handle = await mine.upload()

        async def is_indexing() -> bool:
            return bool((await handle.query("status"))["progress"] == 0.7)

        await until(is_indexing)
        status, _ = await api.call("DELETE", f"/v1/documents/{document_id(handle)}")
        assert status == 204
        await handle.cancel()
    with pytest.raises(WorkflowFailureError) as ended:
        await outcome(handle)
    assert isinstance(ended.value.cause, CancelledError)
    assert (await api.call("GET", f"/v1/documents/{document_id(handle)}"))[0] == 404
    assert dict(await api.ask("lighthouse"))["sources"] == []
    index = stack.data_dir / "index" / "acme" / "deleter"

    async def no_generation() -> bool:
        return [entry.name for entry in index.iterdir()] == ["lock"]

    await until(no_generation)


async def test_a_cancelled_workflow_discards_its_document_itself(stack: Stack) -> None:
    """Nobody wrote a tombstone, so the sweep has nothing to remove here: a record that is being
    processed, and its working copy, stay for ever unless the workflow's own end removes them."""
    mine = replace(stack, api=replace(stack.api, subject="canceller"))
    with index_locked(mine, "canceller"):
        handle = await mine.upload()

        async def is_indexing() -> bool:
            return bool((await handle.query("status"))["progress"] == 0.7)

        await until(is_indexing)
        working_copy = stack.data_dir / "staging" / "acme" / "canceller" / document_id(handle)
        assert working_copy.exists()
        await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await outcome(handle)
    assert (await mine.api.call("GET", f"/v1/documents/{document_id(handle)}"))[0] == 404
    assert not working_copy.exists()
    assert dict(await mine.api.ask("lighthouse"))["sources"] == []
    # The id stays out: another upload under it is not admitted.
    again = await mine.start(document_id=document_id(handle))
    await mine.complete(again, mine.store(again, TEXT))
    assert (await outcome(again))["error"] == "The document was deleted."


async def test_document_deleted_without_a_cancel_is_not_indexed(stack: Stack) -> None:
    """The tombstone alone keeps a document out, whenever it comes."""
    handle = await stack.start()
    await stack.api.call("DELETE", f"/v1/documents/{document_id(handle)}")
    await stack.complete(handle, stack.store(handle, TEXT))
    status = await outcome(handle)
    assert (status["state"], status["error"]) == ("failed", "The document was deleted.")
    assert (await stack.api.call("GET", f"/v1/documents/{document_id(handle)}"))[0] == 404


async def test_cancel_while_waiting_ends_the_workflow_at_once(stack: Stack) -> None:
    """Nothing is waited for after a cancel, and the id stays out."""
    handle = await stack.start()
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await outcome(handle)
    assert (await stack.api.call("GET", f"/v1/documents/{document_id(handle)}"))[0] == 404


async def test_workflow_whose_id_names_another_document_fails(stack: Stack) -> None:
    """Names are computed, never believed: a difference ends it before anything is read."""
    argument = {
        "document_id": uuid7(),
        "tenant": "acme",
        "owner": "alice",
        "filename": "x.txt",
        "content_type": "text/plain",
        "size": 1,
        "sha256": None,
    }
    wrong = {
        f"upload/acme/bob/{argument['document_id']}": argument,
        f"upload/acme/alice/{uuid7()}": argument,
        f"upload/acme/../{argument['document_id']}": {**argument, "owner": ".."},
    }
    for workflow_id, given in wrong.items():
        handle: WorkflowHandle[Any, Any] = await stack.temporal.start_workflow(
            "UploadWorkflow", given, id=workflow_id, task_queue="documents"
        )
        with pytest.raises(WorkflowFailureError) as ended:
            await outcome(handle)
        assert isinstance(ended.value.cause, ApplicationError)


async def test_completion_while_no_worker_was_there_counts_although_it_is_late_now(
    stack: Stack,
) -> None:
    """A signal sent in time is honoured by a worker that comes after the deadline."""
    handle = await stack.start(
        expires_at=(datetime.now(UTC) - timedelta(hours=1)).isoformat(), task_queue="late"
    )
    await stack.complete(handle, stack.store(handle, TEXT))
    environ = {**stack.environ, "CORE_TASK_QUEUE": "late"}
    async with core_process("worker", environ) as (process, _):
        assert (await outcome(handle))["state"] == "indexed"
        process.terminate()
        assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0


async def test_documents_of_one_owner_at_once_are_all_indexed(stack: Stack) -> None:
    """Workflows that rebuild the same index at the same time lose nothing."""
    api = replace(stack.api, subject="busy")
    mine = replace(stack, api=api)
    words = [f"zeppelin{letter * 4}" for letter in "abcdefghij"]
    handles = await asyncio.gather(*(mine.upload(f"The {w} flies.".encode()) for w in words))
    states = await asyncio.gather(*(outcome(handle) for handle in handles))
    assert [status["state"] for status in states] == ["indexed"] * len(words)
    for word, handle in zip(words, handles, strict=True):
        sources = dict(await api.ask(word))["sources"]
        assert [source["document_id"] for source in sources] == [document_id(handle)]
    assert dict(await stack.api.ask(words[0]))["sources"] == []


async def test_core_answers_from_disk_after_a_restart(stack: Stack) -> None:
    """A second HTTP process over the same data directory answers the same."""
    handle = await stack.upload()
    await outcome(handle)
    async with core_process("serve", stack.environ) as (process, ready):
        again = replace(stack.api, base_url=f"http://127.0.0.1:{ready['port']}")
        asked = "Who built the lighthouse?"
        ids = [document_id(handle)]
        before = await stack.api.ask(asked, document_ids=ids)
        assert (await again.ask(asked, document_ids=ids))[1:] == before[1:]
        process.terminate()
        assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0


@pytest.mark.parametrize("kind", ["serve", "worker"])
async def test_process_ends_when_its_stdin_does(stack: Stack, kind: str) -> None:
    """A starter that is killed leaves no process behind."""
    async with core_process(kind, stack.environ) as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0


async def test_worker_that_waits_for_temporal_can_be_stopped(stack: Stack, tmp_path: Path) -> None:
    """With Temporal away the worker waits, silent on stdout, and leaves when told to."""
    environ = {**stack.environ, "CORE_TEMPORAL_ADDRESS": f"127.0.0.1:{free_port()}"}
    async with started("worker", environ) as process:
        assert process.stderr is not None
        while b"Temporal at" not in await asyncio.wait_for(process.stderr.readline(), LIMIT_S):
            pass
        process.terminate()
        out, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
        assert process.returncode == 0
        assert out == b""


async def test_work_of_a_killed_worker_is_taken_up_by_the_next(stack: Stack) -> None:
    """A worker that dies in the middle of indexing leaves nothing half done."""
    api = replace(stack.api, subject="survivor")
    mine = replace(stack, api=api)
    environ = {**stack.environ, "CORE_TASK_QUEUE": "killed"}
    handle = await mine.start(task_queue="killed")
    with index_locked(mine, "survivor"):
        async with core_process("worker", environ) as (process, _):
            await mine.complete(handle, mine.store(handle, TEXT))

            async def is_indexing() -> bool:
                return bool((await handle.query("status"))["progress"] == 0.7)

            await until(is_indexing)
            process.kill()
            await process.wait()
    async with core_process("worker", environ):
        assert (await outcome(handle))["state"] == "indexed"
    assert len(dict(await api.ask("lighthouse"))["sources"]) == 1


async def test_storage_that_comes_back_is_waited_for(stack: Stack) -> None:
    """An outage is no fault of the document: it is indexed once storage answers again."""
    port = free_port()
    environ = {
        **stack.environ,
        "CORE_TASK_QUEUE": "outage",
        "CORE_S3_ENDPOINT": f"http://127.0.0.1:{port}",
    }
    async with core_process("worker", environ):
        handle = await stack.start(task_queue="outage")
        await stack.complete(handle, stack.store(handle, TEXT))

        async def has_failed_twice() -> bool:
            pending = (await handle.describe()).raw_description.pending_activities
            return any(activity.attempt > 2 for activity in pending)

        await until(has_failed_twice)
        assert (await handle.query("status"))["state"] == "processing"
        async with forwarding(port, int(stack.bucket.endpoint.rsplit(":", 1)[1])):
            assert (await outcome(handle))["state"] == "indexed"
