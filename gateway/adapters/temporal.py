"""``UploadWorkflow`` through Temporal: start, describe, signal, ask, cancel, list.

The client connects at its first call and again by itself; ``rpc_timeout`` does not bound the
SDK's retries, so each call runs under ``asyncio.timeout_at`` and a retry budget of its own.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast, get_args

from gateway.adapters.temporal_sdk import (
    Client,
    DescribeNamespaceRequest,
    KeepAliveConfig,
    NamespaceNotFoundFailure,
    RetryConfig,
    RPCError,
    RPCStatusCode,
    TLSConfig,
    WorkflowAlreadyStartedError,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowIDReusePolicy,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
)
from gateway.adapters.temporal_trace import TraceHeader
from gateway.domain.documents import (
    MOST_WARNINGS,
    Announced,
    DocumentRef,
    DocumentState,
    IngestStage,
    ObjectHead,
    UploadStatus,
)
from gateway.domain.ids import is_uuid7
from gateway.errors import (
    Conflict,
    GatewayError,
    NotFound,
    TemporalTimeout,
    TemporalUnavailable,
)
from gateway.ports import Deadline
from gateway.tls.certificates import TlsFiles

log = logging.getLogger("gateway.temporal")

WORKFLOW_TYPE = "UploadWorkflow"
SIGNAL = "upload_completed"
QUERY = "status"
# A listing shows at most this many open uploads: an owner with more sees the newest.
MOST_OPEN = 1000


@dataclass(frozen=True, slots=True)
class TemporalAccess:
    """Where Temporal is: ``target`` is ``host:port``; ``retry_budget_s`` bounds SDK retries.

    ``tls`` is ``None`` for a connection in the clear.
    """

    target: str
    namespace: str
    task_queue: str
    retry_budget_s: float
    tls: TlsFiles | None = None


class TemporalWorkflows:
    """``Workflows`` on one lazily connected client. Make it on the loop that uses it."""

    def __init__(self, client: Client, task_queue: str) -> None:
        self._client = client
        self._task_queue = task_queue

    @classmethod
    async def connect(cls, access: TemporalAccess) -> TemporalWorkflows:
        """Never fails for a server that is down: the connection is made by the first call."""
        return cls(await _connect(access), access.task_queue)

    async def renew(self, access: TemporalAccess) -> None:
        """Makes the connection anew, from changed certificate files; calls under way end on theirs.

        Raises:
            OSError: a file cannot be read.
        """
        self._client = await _connect(access)

    async def start(self, ref: DocumentRef, announced: Announced, deadline: Deadline) -> None:
        argument = _argument(ref, announced)
        try:
            async with _errors_mapped(deadline):
                await self._client.start_workflow(
                    WORKFLOW_TYPE,
                    argument,
                    id=ref.workflow_id,
                    task_queue=self._task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    memo=argument,
                )
        except WorkflowAlreadyStartedError as exc:
            raise Conflict("This document exists already.") from exc

    async def describe(self, ref: DocumentRef, deadline: Deadline) -> UploadStatus | None:
        async def ask() -> UploadStatus | None:
            description = await self._handle(ref).describe()
            return _status(ref, description, await description.memo())

        try:
            async with _errors_mapped(deadline):
                return await ask()
        except NotFound:
            return None

    async def progress(self, ref: DocumentRef, deadline: Deadline) -> UploadStatus | None:
        """The memo, overridden by what the running worker answers."""
        described = await self.describe(ref, deadline)
        if described is None:
            return None
        answer = await self._ask_worker(ref, deadline)
        return None if answer is None else _with_answer(described, answer)

    async def _ask_worker(self, ref: DocumentRef, deadline: Deadline) -> Mapping[str, Any] | None:
        remaining_s = max(deadline - asyncio.get_running_loop().time(), 0.001)
        try:
            async with asyncio.timeout_at(deadline):
                answer = await self._handle(ref).query(
                    QUERY, rpc_timeout=timedelta(seconds=remaining_s)
                )
        except (TimeoutError, RPCError, RuntimeError):
            return None  # No worker answered in time; only the memo is known.
        except (WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return None
        return answer if isinstance(answer, Mapping) else None

    async def signal_completed(
        self, ref: DocumentRef, head: ObjectHead, deadline: Deadline
    ) -> None:
        pinned = {"etag": head.etag, "version_id": head.version_id, "size": head.size}
        async with _errors_mapped(deadline):
            await self._handle(ref).signal(SIGNAL, pinned)

    async def cancel(self, ref: DocumentRef, deadline: Deadline) -> None:
        try:
            async with _errors_mapped(deadline):
                await self._handle(ref).cancel()
        except NotFound:
            return

    async def list_open(
        self, tenant: str, owner: str, deadline: Deadline
    ) -> Sequence[UploadStatus]:
        # Names hold neither quotes nor wildcards (``domain.identity.NAME``), so this is safe.
        prefix = f"upload/{tenant}/{owner}/"
        query = (
            f"WorkflowType = '{WORKFLOW_TYPE}' AND ExecutionStatus = 'Running'"
            f" AND WorkflowId STARTS_WITH '{prefix}'"
        )
        found: list[UploadStatus] = []
        async with _errors_mapped(deadline):
            async for execution in self._client.list_workflows(query, limit=MOST_OPEN):
                ref = DocumentRef(tenant, owner, execution.id.removeprefix(prefix))
                status = _status(ref, execution, await execution.memo())
                if status is not None and is_uuid7(ref.document_id):
                    found.append(status)
        return found

    async def check(self, deadline: Deadline) -> None:
        """Describes the namespace: a server that lacks it cannot be used."""
        request = DescribeNamespaceRequest(namespace=self._client.namespace)
        try:
            async with _errors_mapped(deadline):
                await self._client.workflow_service.describe_namespace(request)
        except NotFound as exc:
            raise TemporalUnavailable from exc

    def _handle(self, ref: DocumentRef) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(ref.workflow_id)


async def _connect(access: TemporalAccess) -> Client:
    return await Client.connect(
        access.target,
        namespace=access.namespace,
        lazy=True,
        tls=False if access.tls is None else _tls_config(access.tls),
        retry_config=RetryConfig(
            initial_interval_millis=50,
            max_interval_millis=300,
            max_elapsed_time_millis=round(access.retry_budget_s * 1000),
        ),
        # Without pings it takes minutes to notice that the other end of a connection is gone.
        keep_alive_config=KeepAliveConfig(interval_millis=5000, timeout_millis=2000),
        interceptors=[TraceHeader()],
    )


def _tls_config(files: TlsFiles) -> TLSConfig:
    return TLSConfig(
        server_root_ca_cert=_content(files.ca),
        client_cert=_content(files.cert),
        client_private_key=_content(files.key),
    )


def _content(path: Path | None) -> bytes | None:
    """``None`` where nothing is set. A file that is gone is as one that is wrong: no peer is
    trusted, and Temporal is down until it is back (``tls.outgoing`` notices that, and logs it)."""
    if path is None:
        return None
    with suppress(OSError):
        return path.read_bytes()
    return b""


@asynccontextmanager
async def _errors_mapped(deadline: Deadline) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout_at(deadline):
            yield
    except TimeoutError as exc:
        raise TemporalTimeout from exc
    except RPCError as exc:
        raise _mapped(exc) from exc
    except RuntimeError as exc:
        # What the SDK raises when its very first connection fails.
        raise TemporalUnavailable from exc


def _mapped(exc: RPCError) -> GatewayError:
    if exc.status is RPCStatusCode.NOT_FOUND and not _names_namespace(exc):
        return NotFound()
    if exc.status in (RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED):
        return TemporalTimeout()
    return TemporalUnavailable()


def _names_namespace(exc: RPCError) -> bool:
    """A namespace that does not exist is NOT_FOUND too; that is a set-up fault, not a 404."""
    return any(d.Is(NamespaceNotFoundFailure.DESCRIPTOR) for d in exc.grpc_status.details)


def _argument(ref: DocumentRef, announced: Announced) -> dict[str, Any]:
    """The workflow's argument and its memo (contract, section 6)."""
    return {
        "document_id": ref.document_id,
        "tenant": ref.tenant,
        "owner": ref.owner,
        "filename": announced.filename,
        "content_type": announced.content_type,
        "size": announced.size,
        "sha256": announced.sha256,
        "upload_id": announced.upload_id,
        "expires_at": datetime.fromtimestamp(announced.expires_at, UTC).strftime(
            "%Y-%m-%dT%H:%M:%SZ"
        ),
    }


def _status(
    ref: DocumentRef, execution: WorkflowExecution, memo: Mapping[str, Any]
) -> UploadStatus | None:
    """``None`` for a workflow that no gateway announced: started by hand, it names no document."""
    try:
        announced = _announced(memo)
    except (KeyError, TypeError, ValueError, OverflowError):
        log.warning("workflow_without_announcement", extra={"document_id": ref.document_id})
        return None
    return UploadStatus(
        ref=ref,
        announced=announced,
        state=_state(execution.status, memo.get("state")),
        cancelled=_is_cancelled(execution),
        created_at=execution.start_time.timestamp(),
        error=_text(memo.get("error")),
        warnings=_warnings(memo.get("warnings")),
        closed=execution.status is not WorkflowExecutionStatus.RUNNING,
    )


def _announced(memo: Mapping[str, Any]) -> Announced:
    return Announced(
        filename=str(memo["filename"]),
        content_type=str(memo["content_type"]),
        size=int(memo["size"]),
        sha256=_text(memo.get("sha256")),
        upload_id=_text(memo.get("upload_id")),
        expires_at=int(datetime.fromisoformat(str(memo["expires_at"])).timestamp()),
    )


def _text(noted: object) -> str | None:
    return noted if isinstance(noted, str) else None


def _warnings(noted: object) -> tuple[str, ...]:
    texts = noted if isinstance(noted, list) else []
    return tuple(text for text in texts if isinstance(text, str))[:MOST_WARNINGS]


def _share(noted: object) -> float | None:
    """0..1; ``None`` for what is no number, NaN too, which JSON could not tell."""
    if not isinstance(noted, int | float) or math.isnan(noted):
        return None
    return float(min(max(noted, 0.0), 1.0))


# The state of a workflow that ended and noted none in its memo.
_ENDED: Mapping[WorkflowExecutionStatus, DocumentState] = {
    WorkflowExecutionStatus.COMPLETED: "indexed",
    WorkflowExecutionStatus.FAILED: "failed",
    WorkflowExecutionStatus.CANCELED: "failed",
    WorkflowExecutionStatus.TERMINATED: "failed",
    WorkflowExecutionStatus.TIMED_OUT: "expired",
}
_UNDER_WAY = frozenset({"awaiting_upload", "processing"})


def _state(status: WorkflowExecutionStatus | None, noted: object) -> DocumentState:
    """The memo's state; where the workflow ended without noting one, what its ending means."""
    if status is not None and status in _ENDED and (noted is None or noted in _UNDER_WAY):
        return _ENDED[status]
    known = noted if noted in get_args(DocumentState) else "awaiting_upload"
    return cast(DocumentState, known)


_DELETED = frozenset({WorkflowExecutionStatus.CANCELED, WorkflowExecutionStatus.TERMINATED})


def _is_cancelled(execution: WorkflowExecution) -> bool:
    """Also a cancellation that no worker has acted on yet, which only a description shows."""
    if execution.status in _DELETED:
        return True
    if isinstance(execution, WorkflowExecutionDescription):
        return execution.raw_description.workflow_extended_info.cancel_requested
    return False


def _with_answer(described: UploadStatus, answer: Mapping[str, Any]) -> UploadStatus:
    """A description with what the worker answered; what makes no sense is as good as unsaid."""
    state, stage, ahead = answer.get("state"), answer.get("stage"), answer.get("ahead")
    return replace(
        described,
        state=cast(DocumentState, state) if state in get_args(DocumentState) else described.state,
        progress=_share(answer.get("progress")),
        stage=stage if stage in get_args(IngestStage) else None,
        ahead=ahead if type(ahead) is int and ahead >= 0 else None,
        error=_text(answer.get("error")) or described.error,
        warnings=_warnings(answer.get("warnings")) or described.warnings,
    )
