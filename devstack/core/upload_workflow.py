"""``UploadWorkflow``: from an announced upload to an indexed document.

::

    awaiting_upload --upload_completed--> processing: verify -> parse -> index --> indexed
          | time out                          | broken file, wrong size or checksum
          v                                   v
       expired                             failed          (cancelled at any point: discarded)

A document that cannot be indexed is an outcome, not a fault: the workflow ends normally with the
status, and the record says the same. The workflow itself fails only when it is not what its id
says. This module runs in Temporal's sandbox and stays free of everything but plain rules.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from devstack.core.documents import (
        Announced,
        InvalidAnnouncement,
        parse_announced,
        parse_completed,
        parse_time,
        rfc3339,
    )
    from devstack.core.progress import BOARD, Stage, Step

WORKFLOW = "UploadWorkflow"
ADMIT = "admit_upload"
VERIFY = "verify_upload"
PARSE = "parse_document"
INDEX = "index_document"
FAIL = "record_failure"
EXPIRE = "expire_upload"
DISCARD = "discard_document"

# Types of ApplicationError the activities raise.
BROKEN = "BrokenDocument"  # its message is for the user
DELETED = "DocumentDeleted"

OUTAGE = (
    "The document could not be processed because a service it needs stayed away. Upload it again."
)
WAS_DELETED = "The document was deleted."

_HEARTBEAT = timedelta(seconds=10)
_RETRIES = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),
    maximum_interval=timedelta(seconds=15),
    non_retryable_error_types=[BROKEN, DELETED],
)


@dataclass(frozen=True, slots=True)
class Job:
    """The argument of every activity: the announcement as received, the workflow's start time."""

    announced: dict[str, Any]
    created_at: str


@workflow.defn(name=WORKFLOW)
class UploadWorkflow:
    """One upload; see the module's text for its states."""

    def __init__(self) -> None:
        self._state = "awaiting_upload"
        self._progress = 0.0
        self._stage: Stage | None = None
        self._warnings: list[str] = []
        self._error: str | None = None
        self._completed: dict[str, Any] | None = None

    @workflow.signal
    def upload_completed(self, completed: Any) -> None:
        """The object is there, in this version. The first signal counts; later ones do nothing."""
        if self._completed is None and parse_completed(completed) is not None:
            self._completed = dict(completed)

    @workflow.query
    def status(self) -> dict[str, Any]:
        """``{"state", "progress", "warnings", "error"}``, and while it is processed ``"stage"``.

        Progress from 0 to 1, warnings and error for the user. ``ahead`` is how many documents wait
        before this one, where the worker that answers knows it.
        """
        told: dict[str, Any] = {
            "state": self._state,
            "progress": self._progress,
            "warnings": self._warnings,
            "error": self._error,
        }
        if self._state != "processing" or self._stage is None:
            return told
        # What a worker does right now is no part of the workflow's history, nor of its state.
        step = BOARD.step(workflow.info().workflow_id) or Step(self._stage)
        told["stage"] = step.stage
        told["progress"] = max(self._progress, step.progress)
        return told if step.ahead is None else {**told, "ahead": step.ahead}

    @workflow.run
    async def run(self, announced: Any) -> dict[str, Any]:
        upload = _checked(announced)
        job = Job(dict(announced), rfc3339(workflow.info().start_time))
        self._enter("awaiting_upload", 0.0)
        try:
            if await self._wait_for_upload(job):
                await self._process(job)
            else:
                await self._expire(job)
        except (asyncio.CancelledError, ActivityError) as fault:
            if not is_cancelled_exception(fault):
                raise
            await _run(DISCARD, job, timedelta(minutes=10))
            raise
        workflow.logger.info("%s is %s", upload.document_id, self._state)
        return self.status()

    def _enter(self, state: str, progress: float, error: str | None = None) -> None:
        """Change state, for queries and for whoever describes the workflow when no worker runs."""
        self._state, self._progress, self._error = state, progress, error
        workflow.upsert_memo({"state": state, "error": error, "warnings": self._warnings})

    async def _wait_for_upload(self, job: Job) -> bool:
        deadline = parse_time(
            await workflow.execute_local_activity(
                ADMIT, job, result_type=str, start_to_close_timeout=timedelta(seconds=10)
            )
        )
        left = max(deadline - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(lambda: self._completed is not None, timeout=left)
        except TimeoutError:
            # The signal may have come in time while no worker was there to take it.
            return self._completed is not None
        return True

    async def _process(self, job: Job) -> None:
        assert self._completed is not None
        try:
            self._stage = "fetching"
            self._enter("processing", 0.1)
            verified = await _run(VERIFY, job, timedelta(hours=1), self._completed)
            self._stage, self._progress = "reading", 0.3
            parsed = await _run(PARSE, job, timedelta(minutes=30))
            # An activity of an earlier version gave the number of chunks alone.
            self._warnings = parsed["warnings"] if isinstance(parsed, dict) else []
            self._stage, self._progress = "indexing", 0.7
            await _run(INDEX, job, timedelta(minutes=30), verified)
            self._enter("indexed", 1.0)
        except ActivityError as fault:
            if is_cancelled_exception(fault):
                raise
            await self._fail(job, _message(fault))

    async def _fail(self, job: Job, message: str) -> None:
        await _run(FAIL, job, timedelta(hours=24), message)
        self._enter("failed", self._progress, message)

    async def _expire(self, job: Job) -> None:
        message = "The upload was not completed in time."
        await _run(EXPIRE, job, timedelta(hours=24), message)
        self._enter("expired", 0.0, message)


def _checked(announced: Any) -> Announced:
    """The argument, which must be the one this workflow's id was made from."""
    try:
        upload = parse_announced(announced)
    except InvalidAnnouncement as fault:
        raise ApplicationError(
            str(fault), type="InvalidAnnouncement", non_retryable=True
        ) from fault
    if upload.workflow_id != workflow.info().workflow_id:
        raise ApplicationError(
            "the workflow id does not belong to the document in the argument",
            type="IdentityMismatch",
            non_retryable=True,
        )
    return upload


async def _run(name: str, job: Job, patience: timedelta, *more: Any) -> Any:
    """Run an activity, again after faults, for as long as ``patience`` says."""
    return await workflow.execute_activity(
        name,
        args=[job, *more],
        schedule_to_close_timeout=patience,
        start_to_close_timeout=timedelta(minutes=10),
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_RETRIES,
    )


def _message(fault: ActivityError) -> str:
    """The message for the user; the text of an unexpected fault is only logged."""
    cause = fault.cause
    if isinstance(cause, ApplicationError) and cause.type == BROKEN:
        return cause.message
    if isinstance(cause, ApplicationError) and cause.type == DELETED:
        return WAS_DELETED
    return OUTAGE
