"""The use cases of an upload: create, parts, complete.

All S3 and Temporal calls of a request share one ``Deadline``. The bytes never pass through the
gateway: the client gets a presigned permission that allows only what it announced, and the object
is compared with the announcement (kept in the workflow's memo) before the workflow is signalled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

from gateway.domain.documents import (
    Announced,
    DocumentRef,
    ObjectHead,
    UploadMethod,
    UploadRules,
    UploadStatus,
    canonical_type,
    check_announcement,
    check_part_list,
    check_part_numbers,
    mismatches,
    part_size,
    part_sizes,
    upload_method,
)
from gateway.domain.ids import new_uuid7
from gateway.errors import (
    Conflict,
    GatewayError,
    NotFound,
    StorageUnavailable,
    ValidationFailed,
)
from gateway.flows.repeats import Attempt
from gateway.flows.times import rfc3339
from gateway.flows.upload_bodies import (
    Accepted,
    NewDocument,
    PartPermission,
    PartPermissions,
    UploadedPart,
    UploadPermission,
    UploadTicket,
)
from gateway.ports import (
    Clock,
    Core,
    Deadline,
    ObjectStore,
    OnBehalfOf,
    Workflows,
)

Spawn = Callable[[Coroutine[Any, Any, None], str], object]
"""Runs a coroutine as a named background task that is kept and whose failure is reported."""

CLEAN_UP_S = 10.0
CLEAN_UP_TRIES = 4
# Of several completions at once one assembles the object: how long the others wait for it to
# appear, and how often they look.
IN_PLACE_S = 1.0
LOOK_AGAIN_S = 0.05
# A signature takes up to half a millisecond of CPU, and a thousand can be requested: after so many
# of them other tasks run.
SIGNED_AT_ONCE = 10


class Uploads:
    """The use cases; ``base_path`` is what the URLs of the documents' routes begin with."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        workflows: Workflows,
        core: Core,
        clock: Clock,
        rules: UploadRules,
        spawn: Spawn,
        base_path: str,
    ) -> None:
        self._store = store
        self._workflows = workflows
        self._core = core
        self._clock = clock
        self.rules = rules
        self._spawn = spawn
        self._base_path = base_path

    def below(self, path: str) -> Uploads:
        """The same for whoever came by the routes at ``path``: of one version of the API."""
        here = copy(self)
        here._base_path += path
        return here

    # --- create ---

    async def create(
        self,
        tenant: str,
        owner: str,
        asked: NewDocument,
        deadline: Deadline,
        attempt: Attempt | None = None,
    ) -> UploadTicket:
        """Starts the workflow and returns the permission to upload.

        With an ``attempt`` the document has its id, and what an earlier attempt began is completed.

        Raises:
            ValidationFailed: with each field that is wrong.
            StorageUnavailable, TemporalUnavailable, TemporalTimeout: nothing is left behind, or
                with an ``attempt`` what the next one finds.
            Conflict: what an earlier attempt made no longer awaits an upload.
        """
        document_id = new_uuid7(self._clock.time()) if attempt is None else attempt.id
        ref = DocumentRef(tenant, owner, document_id)
        if attempt is not None and attempt.again:
            known = await self._workflows.describe(ref, deadline)
            if known is not None or attempt.made:
                return self._made_before(ref, known, asked)
        method = upload_method(asked.size, asked.upload_method, self.rules)
        announced = self._announced(asked, method)
        if method == "MULTIPART":
            upload_id = await self._store.create_multipart(ref.object_key, announced, deadline)
            announced = replace(announced, upload_id=upload_id)
        if attempt is not None:
            attempt.begun = True
            return await self._start_or_join(ref, announced, asked, deadline)
        await self._start(ref, announced, deadline)
        return self._ticket(ref, announced, method, self.rules.form_lifetime_s)

    async def _start_or_join(
        self, ref: DocumentRef, announced: Announced, asked: NewDocument, deadline: Deadline
    ) -> UploadTicket:
        """Nothing is undone: an attempt that fails leaves its document to the next one, and to its
        own expiry where there is none. One that comes second takes what the first has made."""
        method = upload_method(asked.size, asked.upload_method, self.rules)
        try:
            await self._workflows.start(ref, announced, deadline)
        except Conflict:
            known = await self._workflows.describe(ref, deadline)
            return self._made_before(ref, known, asked)
        return self._ticket(ref, announced, method, self.rules.form_lifetime_s)

    def _made_before(
        self, ref: DocumentRef, known: UploadStatus | None, asked: NewDocument
    ) -> UploadTicket:
        """Signed afresh, and for no longer than the first one was."""
        now = int(self._clock.time())
        if known is None or known.cancelled or known.announced.expires_at <= now:
            raise Conflict(
                "The document that was made with this Idempotency-Key no longer awaits an upload.",
                details={"document_id": ref.document_id},
            )
        announced = known.announced
        method = "MULTIPART" if announced.upload_id else asked.upload_method or "POST"
        lifetime_s = min(announced.expires_at - now, self.rules.form_lifetime_s)
        return self._ticket(ref, announced, method, lifetime_s)

    def _ticket(
        self, ref: DocumentRef, announced: Announced, method: UploadMethod, lifetime_s: int
    ) -> UploadTicket:
        return UploadTicket(
            document_id=ref.document_id,
            workflow_id=ref.workflow_id,
            upload=self._permission(ref, announced, method, lifetime_s),
            complete_url=f"{self._base_path}/{ref.document_id}/complete",
        )

    def _announced(self, asked: NewDocument, method: UploadMethod) -> Announced:
        rules = self.rules
        content_type = canonical_type(asked.content_type, asked.filename, rules.types)
        faults = check_announcement(asked.filename, content_type, asked.size, asked.sha256, rules)
        if faults:
            raise ValidationFailed(fields=faults)
        parts = method == "MULTIPART"
        lifetime_s = max(rules.form_lifetime_s, rules.multipart_lifetime_s if parts else 0)
        return Announced(
            filename=asked.filename,
            content_type=content_type,
            size=asked.size,
            sha256=asked.sha256,
            upload_id=None,
            expires_at=int(self._clock.time()) + lifetime_s,
        )

    async def _start(self, ref: DocumentRef, announced: Announced, deadline: Deadline) -> None:
        try:
            await self._workflows.start(ref, announced, deadline)
        except (GatewayError, asyncio.CancelledError):
            # After a time-out, a broken connection or a client that left, it is unknown whether the
            # workflow started. Undoing a start that did not happen is harmless. It runs in the
            # background, because this request's deadline has passed.
            self._spawn(self._undo(ref, announced.upload_id), "undo-upload")
            raise

    async def _undo(self, ref: DocumentRef, upload_id: str | None) -> None:
        """Gives up after some tries: an upload that is never completed expires by itself."""
        for attempt in range(CLEAN_UP_TRIES):
            deadline = asyncio.get_running_loop().time() + CLEAN_UP_S
            try:
                await self._workflows.cancel(ref, deadline)
                if upload_id is not None:
                    await self._store.abort_multipart(
                        ref.object_key, upload_id=upload_id, deadline=deadline
                    )
                return
            except GatewayError:
                if attempt == CLEAN_UP_TRIES - 1:
                    raise
                await asyncio.sleep(2**attempt)

    def _permission(
        self, ref: DocumentRef, announced: Announced, method: UploadMethod, lifetime_s: int
    ) -> UploadPermission:
        expires_at = rfc3339(announced.expires_at)
        if method == "MULTIPART":
            url = f"{self._base_path}/{ref.document_id}/parts"
            size = part_size(announced.size, self.rules)
            return UploadPermission(method=method, url=url, expires_at=expires_at, part_size=size)
        sign = self._store.presign_put if method == "PUT" else self._store.presign_post
        signed = sign(ref.object_key, announced, expires_in_s=lifetime_s)
        return UploadPermission(
            method=method,
            url=signed.url,
            expires_at=expires_at,
            fields=signed.fields or None,
            headers=signed.headers or None,
        )

    # --- parts ---

    async def parts(
        self, ref: DocumentRef, numbers: Sequence[int], deadline: Deadline
    ) -> PartPermissions:
        """URLs for some parts of a multipart upload; may be requested again.

        Raises:
            NotFound: no such document, or it was deleted.
            Conflict: it is no multipart upload, or it is no longer awaiting one.
            ValidationFailed: there are no such part numbers.
        """
        known = await self._workflows.describe(ref, deadline)
        if known is None or known.cancelled:
            raise NotFound
        upload_id = known.announced.upload_id
        if upload_id is None:
            raise Conflict("This document is not uploaded in parts.")
        remaining_s = known.announced.expires_at - int(self._clock.time())
        if known.state != "awaiting_upload" or remaining_s <= 0:
            raise Conflict("This document no longer awaits an upload.")
        sizes = part_sizes(known.announced.size, self.rules)
        check_part_numbers(numbers, len(sizes))
        lifetime_s = min(remaining_s, self.rules.form_lifetime_s)
        signed = []
        for n in numbers:
            signed.append(self._part(ref, upload_id, n, sizes[n - 1], lifetime_s))
            if len(signed) % SIGNED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return PartPermissions(signed)

    def _part(
        self, ref: DocumentRef, upload_id: str, n: int, size: int, lifetime_s: int
    ) -> PartPermission:
        signed = self._store.presign_part(
            ref.object_key, upload_id=upload_id, n=n, size=size, expires_in_s=lifetime_s
        )
        expires_at = rfc3339(int(self._clock.time()) + lifetime_s)
        return PartPermission(n=n, url=signed.url, headers=signed.headers, expires_at=expires_at)

    # --- complete ---

    async def complete(
        self,
        who: OnBehalfOf,
        ref: DocumentRef,
        parts: Sequence[UploadedPart] | None,
        deadline: Deadline,
    ) -> Accepted:
        """Checks that the object is as announced, and signals the workflow; may be repeated.

        Raises:
            NotFound: no such document, or it was deleted.
            Conflict: nothing uploaded yet, something else uploaded, or the upload expired.
            ValidationFailed: the parts' list is wrong.
        """
        known = await self._workflows.describe(ref, deadline)
        if known is None or known.closed:
            return await self._complete_closed(who, ref, known)
        if known.cancelled:
            raise NotFound
        if known.state == "awaiting_upload":
            head = await self._uploaded(known, parts, deadline)
            return await self._signal(who, ref, head, deadline)
        return _accepted(ref, known.state)

    async def _complete_closed(
        self, who: OnBehalfOf, ref: DocumentRef, known: UploadStatus | None
    ) -> Accepted:
        """The workflow has ended: only the core knows whether the document still exists."""
        if known is not None and known.cancelled:
            raise NotFound
        record = await self._core.get_document(who, ref.document_id)
        if record is None:
            raise NotFound
        return _accepted(ref, record.status)

    async def _uploaded(
        self, known: UploadStatus, parts: Sequence[UploadedPart] | None, deadline: Deadline
    ) -> ObjectHead:
        announced, key = known.announced, known.ref.object_key
        if announced.upload_id is not None:
            head = await self._assembled(known, announced.upload_id, parts, deadline)
        elif parts:
            raise ValidationFailed(fields={"parts": "nothing: this is no multipart upload"})
        else:
            head = await self._store.head(key, deadline)
        if head is None:
            raise Conflict("Nothing has been uploaded yet.")
        if found := mismatches(announced, head):
            raise Conflict(
                "What was uploaded is not what was announced.", details={"mismatches": found}
            )
        return head

    async def _assembled(
        self,
        known: UploadStatus,
        upload_id: str,
        parts: Sequence[UploadedPart] | None,
        deadline: Deadline,
    ) -> ObjectHead | None:
        """Has the store assemble the parts, and returns the object's head.

        If another completion does so at the same moment, the parts may be gone before the object
        appears. So the store's refusal is final only when no object appears for a second.
        """
        key = known.ref.object_key
        listed = self._part_list(known.announced, parts)
        try:
            await self._store.complete_multipart(
                key, upload_id=upload_id, parts=listed, deadline=deadline
            )
        except (Conflict, StorageUnavailable):
            head = await self._head_soon(key, deadline)
            if head is None:
                raise
            return head
        return await self._head_soon(key, deadline)

    def _part_list(
        self, announced: Announced, parts: Sequence[UploadedPart] | None
    ) -> list[tuple[int, str]]:
        if not parts:
            raise ValidationFailed(fields={"parts": "every part's number and ETag"})
        count = len(part_sizes(announced.size, self.rules))
        return check_part_list([(p.n, p.etag) for p in parts], count)

    async def _head_soon(self, key: str, deadline: Deadline) -> ObjectHead | None:
        loop = asyncio.get_running_loop()
        until = min(deadline, loop.time() + IN_PLACE_S)
        while True:
            head = await self._store.head(key, deadline)
            if head is not None or loop.time() >= until:
                return head
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _signal(
        self, who: OnBehalfOf, ref: DocumentRef, head: ObjectHead, deadline: Deadline
    ) -> Accepted:
        try:
            await self._workflows.signal_completed(ref, head, deadline)
        except NotFound:
            # The workflow ended between the description and the signal: its result decides.
            return await self._complete_closed(
                who, ref, await self._workflows.describe(ref, deadline)
            )
        return Accepted(ref.document_id)


def _accepted(ref: DocumentRef, state: str) -> Accepted:
    if state == "expired":
        raise Conflict("The upload was not completed in time: announce the document again.")
    return Accepted(ref.document_id)
