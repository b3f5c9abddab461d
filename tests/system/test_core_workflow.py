"""The core's two processes with a real Temporal and a real S3: from an upload to its outcome."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle

from tests.system.core_fixtures import (
    BUCKET,
    Bucket,
    CoreApi,
    answer_text,
    core_process,
    running_s3,
    running_temporal,
    uuid7,
)

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

    async def start(self, body: bytes = TEXT, **announced: Any) -> WorkflowHandle[Any, Any]:
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
            task_queue="documents",
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
        running_s3(tmp_path_factory.mktemp("s3")) as bucket,
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
            yield Stack(temporal.client, bucket, api, data_dir)


async def test_uploaded_text_is_indexed_and_answers_with_a_citation(stack: Stack) -> None:
    """From upload to a cited answer, with the state in query, memo and record."""
    handle = await stack.upload()
    assert await outcome(handle) == {"state": "indexed", "progress": 1.0, "error": None}
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
