"""The ``Workflows`` port on a real Temporal server, with a small stand-in for the core's worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from devstack.components import free_port
from gateway.adapters.temporal import TemporalWorkflows
from gateway.domain.documents import Announced, DocumentRef, ObjectHead, UploadStatus
from gateway.domain.ids import new_uuid7
from gateway.errors import (
    Conflict,
    NotFound,
    TemporalTimeout,
    TemporalUnavailable,
)
from gateway.telemetry.tracing import TRACEPARENT
from tests.contract.documents.conftest import Server, temporal_at

ANNOUNCED = Announced(
    filename="Übersicht.pdf",
    content_type="application/pdf",
    size=1234,
    sha256="a" * 64,
    upload_id="upload-7",
    expires_at=2_000_000_000,
)
HEAD = ObjectHead(
    size=1234, content_type="application/pdf", etag='"e"', version_id="v1", sha256=None
)
# A recovery may take this long, counted from when the server serves who comes anew.
RECOVERY_S = 2.0


@workflow.defn(name="UploadWorkflow")
class StandIn:
    """Waits for the signal, says "processing", then ends as it is told."""

    def __init__(self) -> None:
        self.signal: dict[str, Any] | None = None
        self.ending: str | None = None
        self.state = "awaiting_upload"

    @workflow.run
    async def run(self, argument: dict[str, Any]) -> dict[str, Any]:
        await workflow.wait_condition(lambda: self.signal is not None)
        self._enter("processing")
        await workflow.wait_condition(lambda: self.ending is not None)
        if self.ending == "broken":
            raise ApplicationError("broken", non_retryable=True)
        self._enter(str(self.ending), None if self.ending == "indexed" else "It was no PDF.")
        return {"argument": argument, "signal": self.signal}

    def _enter(self, state: str, error: str | None = None) -> None:
        self.state = state
        warnings = ["Page 2 could not be read."] if state == "indexed" else []
        workflow.upsert_memo({"state": state, "error": error, "warnings": warnings})

    @workflow.signal
    def upload_completed(self, pinned: dict[str, Any]) -> None:
        self.signal = self.signal or pinned

    @workflow.signal
    def end(self, how: str) -> None:
        self.ending = how

    @workflow.query
    def status(self) -> dict[str, Any]:
        told = {"stage": "reading", "ahead": 3, "warnings": ["A chart was not read."]}
        return {"state": self.state, "progress": 0.25, "error": None, **told}


def new_ref(owner: str = "alice", tenant: str = "acme") -> DocumentRef:
    return DocumentRef(tenant, owner, new_uuid7(time.time()))


def soon(seconds: float = 20) -> float:
    return asyncio.get_running_loop().time() + seconds


@pytest.fixture
async def workflows(temporal: Server) -> TemporalWorkflows:
    found = await TemporalWorkflows.connect(temporal_at(temporal.port))
    await until(lambda: healthy(found))
    return found


async def healthy(workflows: TemporalWorkflows) -> bool:
    try:
        await workflows.check(soon(1))
        await workflows.describe(new_ref(), soon(1))
    except (TemporalUnavailable, TemporalTimeout):
        return False
    return True


async def until(
    condition: Callable[[], Awaitable[Any]], limit_s: float = 30, pause_s: float = 0.02
) -> Any:
    """Asks again until the answer is true; gives the answer."""
    async with asyncio.timeout(limit_s):
        while True:
            if answer := await condition():
                return answer
            await asyncio.sleep(pause_s)


async def serving_again(server: Server) -> None:
    """Waits for the server itself, however long it takes: a new client has its answers."""

    async def answers() -> bool:
        access = temporal_at(server.port)
        return await healthy(await TemporalWorkflows.connect(access))

    await until(answers, 60)


@contextlib.asynccontextmanager
async def worker(server: Server) -> AsyncIterator[Client]:
    client = await Client.connect(f"127.0.0.1:{server.port}")
    async with Worker(
        client,
        task_queue="documents",
        workflows=[StandIn],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield client


async def reaches(workflows: TemporalWorkflows, ref: DocumentRef, state: str) -> UploadStatus:
    async def there() -> UploadStatus | None:
        found = await workflows.describe(ref, soon())
        return found if found is not None and found.state == state else None

    found: UploadStatus = await until(there)
    return found


async def test_what_was_announced_is_described_with_no_worker(workflows: TemporalWorkflows) -> None:
    """The memo answers what was announced; without a word from a worker it awaits the upload."""
    ref = new_ref()
    await workflows.start(ref, ANNOUNCED, soon())
    found = await workflows.describe(ref, soon())
    assert found is not None
    assert (found.ref, found.announced, found.state) == (ref, ANNOUNCED, "awaiting_upload")
    assert not found.cancelled
    assert not found.closed
    assert abs(found.created_at - time.time()) < 60


async def test_a_workflow_learns_under_which_trace_it_was_started(
    workflows: TemporalWorkflows, temporal: Server
) -> None:
    """In the header that Temporal's own tracing reads; with no trace there is none."""
    traceparent = f"00-{'4b' * 16}-{'0f' * 8}-01"
    before = TRACEPARENT.set(traceparent)
    traced = new_ref()
    await workflows.start(traced, ANNOUNCED, soon())
    await workflows.signal_completed(traced, HEAD, soon())
    TRACEPARENT.reset(before)
    plain = new_ref()
    await workflows.start(plain, ANNOUNCED, soon())
    client = await Client.connect(f"127.0.0.1:{temporal.port}")
    headers = []
    for ref in (traced, plain):
        history = await client.get_workflow_handle(ref.workflow_id).fetch_history()
        for event in history.events:
            for told in (
                event.workflow_execution_started_event_attributes,
                event.workflow_execution_signaled_event_attributes,
            ):
                headers += [json.loads(one.data) for one in told.header.fields.values()]
    assert headers == [{"traceparent": traceparent}] * 2


async def test_unknown_document_is_none_and_takes_no_signal(workflows: TemporalWorkflows) -> None:
    """An id never started describes as ``None``, cancels quietly, and a signal is ``NotFound``."""
    ref = new_ref()
    assert await workflows.describe(ref, soon()) is None
    assert await workflows.progress(ref, soon()) is None
    await workflows.cancel(ref, soon())
    with pytest.raises(NotFound):
        await workflows.signal_completed(ref, HEAD, soon())


async def test_starting_an_id_twice_is_a_conflict_even_after_its_end(
    workflows: TemporalWorkflows, temporal: Server
) -> None:
    """``REJECT_DUPLICATE``: an id names one workflow for good."""
    ref = new_ref()
    await workflows.start(ref, ANNOUNCED, soon())
    with pytest.raises(Conflict):
        await workflows.start(ref, ANNOUNCED, soon())
    async with worker(temporal):
        await workflows.cancel(ref, soon())
        await until(lambda: is_closed(workflows, ref))
    with pytest.raises(Conflict):
        await workflows.start(ref, ANNOUNCED, soon())


async def is_closed(workflows: TemporalWorkflows, ref: DocumentRef) -> bool:
    found = await workflows.describe(ref, soon())
    return found is not None and found.closed


async def test_signal_and_states_from_begin_to_end(
    workflows: TemporalWorkflows, temporal: Server
) -> None:
    """The worker gets argument and signal as the contract has them; its memo tells each state."""
    ref = new_ref()
    await workflows.start(ref, ANNOUNCED, soon())
    async with worker(temporal) as client:
        await workflows.signal_completed(ref, HEAD, soon())
        await reaches(workflows, ref, "processing")
        asked = await workflows.progress(ref, soon())
        assert asked is not None
        assert (asked.state, asked.progress) == ("processing", 0.25)
        assert (asked.stage, asked.ahead) == ("reading", 3)
        assert asked.warnings == ("A chart was not read.",)
        handle = client.get_workflow_handle(ref.workflow_id)
        await handle.signal("end", "failed")
        seen = await handle.result()
        found = await reaches(workflows, ref, "failed")
    assert found.closed
    assert found.error == "It was no PDF."
    assert seen["signal"] == {"etag": '"e"', "version_id": "v1", "size": 1234}
    assert seen["argument"] == {
        "document_id": ref.document_id,
        "tenant": "acme",
        "owner": "alice",
        "filename": "Übersicht.pdf",
        "content_type": "application/pdf",
        "size": 1234,
        "sha256": "a" * 64,
        "upload_id": "upload-7",
        "expires_at": "2033-05-18T03:33:20Z",
    }
    with pytest.raises(NotFound):
        await workflows.signal_completed(ref, HEAD, soon())


async def test_warnings_of_an_ended_workflow_are_in_its_memo(
    workflows: TemporalWorkflows, temporal: Server
) -> None:
    """They are told with no worker alive."""
    ref = new_ref()
    await workflows.start(ref, ANNOUNCED, soon())
    async with worker(temporal) as client:
        await workflows.signal_completed(ref, HEAD, soon())
        await client.get_workflow_handle(ref.workflow_id).signal("end", "indexed")
        found = await reaches(workflows, ref, "indexed")
    assert found.warnings == ("Page 2 could not be read.",)
    assert (found.stage, found.ahead) == (None, None)


async def test_workflow_that_broke_is_failed(
    workflows: TemporalWorkflows, temporal: Server
) -> None:
    """A workflow that ends without a last word in its memo is told by how it ended."""
    ref = new_ref()
    await workflows.start(ref, ANNOUNCED, soon())
    async with worker(temporal) as client:
        await workflows.signal_completed(ref, HEAD, soon())
        await client.get_workflow_handle(ref.workflow_id).signal("end", "broken")
        found = await reaches(workflows, ref, "failed")
    assert found.closed
    assert not found.cancelled


async def test_cancel_shows_before_any_worker_takes_it_up(workflows: TemporalWorkflows) -> None:
    """A deleted document is gone at once, also while no worker runs; cancelling again is fine."""
    ref = new_ref()
    await workflows.start(ref, ANNOUNCED, soon())
    await workflows.cancel(ref, soon())
    await workflows.cancel(ref, soon())
    found = await workflows.describe(ref, soon())
    assert found is not None
    assert found.cancelled


async def test_cancelled_workflow_stays_cancelled_when_closed(
    workflows: TemporalWorkflows, temporal: Server
) -> None:
    """After the worker took it up it is closed, and cancelling it again is still success."""
    ref = new_ref()
    await workflows.start(ref, ANNOUNCED, soon())
    await workflows.cancel(ref, soon())
    async with worker(temporal):
        await until(lambda: is_closed(workflows, ref))
    await workflows.cancel(ref, soon())
    found = await workflows.describe(ref, soon())
    assert found is not None
    assert found.cancelled


async def test_progress_without_a_worker_is_none_by_the_deadline(
    workflows: TemporalWorkflows,
) -> None:
    """Nobody there to answer the query costs the deadline given, and is no error."""
    ref = new_ref()
    await workflows.start(ref, ANNOUNCED, soon())
    assert await workflows.progress(ref, soon(0.5)) is None


async def test_a_workflow_that_nobody_announced_names_no_document(
    workflows: TemporalWorkflows, temporal: Server
) -> None:
    """Started by hand, without a memo or under an odd id: it hides none of the owner's others."""
    good, odd = new_ref("odette"), new_ref("odette")
    await workflows.start(good, ANNOUNCED, soon())
    client = await Client.connect(f"127.0.0.1:{temporal.port}")
    memos: list[tuple[str, dict[str, Any]]] = [
        (odd.workflow_id, {}),
        (new_ref("odette").workflow_id, {"filename": "a", "size": "x"}),
        ("upload/acme/odette/../x", {}),
    ]
    for workflow_id, memo in memos:
        await client.start_workflow(
            "UploadWorkflow", {}, id=workflow_id, task_queue="documents", memo=memo
        )

    async def all_there() -> bool:
        query = "WorkflowId STARTS_WITH 'upload/acme/odette/'"
        return len([one async for one in client.list_workflows(query)]) == 4

    await until(all_there)
    listed = await workflows.list_open("acme", "odette", soon())
    assert [status.ref for status in listed] == [good]
    assert await workflows.describe(odd, soon()) is None


async def test_listing_holds_exactly_the_owners_open_workflows(
    workflows: TemporalWorkflows,
) -> None:
    """Another owner, a longer name that begins alike and another tenant are not in it."""
    mine = [new_ref() for _ in range(3)]
    others = [new_ref("alice2"), new_ref("bob"), new_ref(tenant="acme2")]
    for ref in [*mine, *others]:
        await workflows.start(ref, ANNOUNCED, soon())

    async def all_visible() -> bool:
        counts = [await workflows.list_open(r.tenant, r.owner, soon()) for r in [mine[0], *others]]
        return [len(c) for c in counts] == [3, 1, 1, 1]

    await until(all_visible)
    listed = await workflows.list_open("acme", "alice", soon())
    assert {status.ref for status in listed} == set(mine)
    assert {status.announced for status in listed} == {ANNOUNCED}


async def test_down_from_the_start_is_unavailable_and_heals() -> None:
    """A server that was never there is told at once, every time; nothing has to be restarted."""
    workflows = await TemporalWorkflows.connect(temporal_at(free_port()))
    for _ in range(3):
        with pytest.raises(TemporalUnavailable):
            await workflows.describe(new_ref(), soon())
        with pytest.raises(TemporalUnavailable):
            await workflows.check(soon())


async def test_namespace_that_is_not_there_is_unavailable(temporal: Server) -> None:
    """A wrong setting must not look like "no such document"."""
    access = temporal_at(temporal.port, namespace="nowhere")
    workflows = await TemporalWorkflows.connect(access)
    with pytest.raises(TemporalUnavailable):
        await until(lambda: workflows.describe(new_ref(), soon(5)))
    with pytest.raises(TemporalUnavailable):
        await workflows.check(soon(5))


async def test_stopped_server_is_unavailable_and_back_within_two_seconds(
    workflows: TemporalWorkflows, temporal: Server
) -> None:
    """Down is 503 within the deadline; soon after its return the same client works again."""
    temporal.stop()
    for _ in range(4):
        began = asyncio.get_running_loop().time()
        with pytest.raises((TemporalUnavailable, TemporalTimeout)):
            await workflows.describe(new_ref(), began + 1.5)
        assert asyncio.get_running_loop().time() - began < 4
    temporal.start()
    await serving_again(temporal)
    await until(lambda: healthy(workflows), RECOVERY_S)


async def test_frozen_server_times_out_and_is_back_within_two_seconds(
    workflows: TemporalWorkflows, temporal: Server
) -> None:
    """A server that hangs costs each call its deadline, and no lasting harm."""
    with temporal.frozen():
        for _ in range(3):
            with pytest.raises(TemporalTimeout):
                await workflows.describe(new_ref(), soon(0.5))
        with pytest.raises(TemporalTimeout):
            await workflows.start(new_ref(), ANNOUNCED, soon(0.5))
    await serving_again(temporal)
    await until(lambda: healthy(workflows), RECOVERY_S)


async def test_server_frozen_at_the_first_connection_is_outlived(temporal: Server) -> None:
    """The first connection may hang as well; the call's deadline holds and a later one works."""
    workflows = await TemporalWorkflows.connect(temporal_at(temporal.port))
    with temporal.frozen():
        for _ in range(2):
            with pytest.raises((TemporalTimeout, TemporalUnavailable)):
                await workflows.describe(new_ref(), soon(0.5))
    await until(lambda: healthy(workflows), 10)
