"""Documents on their way in: where their bytes are, and the workflow that takes them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.domain.documents import Announced, DocumentRef, ObjectHead, UploadStatus
from gateway.ports.time import Deadline


@dataclass(frozen=True, slots=True)
class PresignedUpload:
    """A signed permission to send bytes: ``fields`` for a POST form, ``headers`` for a PUT."""

    url: str
    fields: Mapping[str, str]
    headers: Mapping[str, str]


class ObjectStore(Protocol):
    """Where documents' bytes are. Presigning is pure CPU; the rest raises ``StorageUnavailable``.

    What is presigned holds the client to what it announced: key, size, content type, checksum,
    and the filename as metadata and ``Content-Disposition``. ``expires_in_s`` is in seconds.
    """

    def presign_post(
        self, key: str, announced: Announced, *, expires_in_s: int
    ) -> PresignedUpload: ...

    def presign_put(
        self, key: str, announced: Announced, *, expires_in_s: int
    ) -> PresignedUpload: ...

    def presign_part(
        self, key: str, *, upload_id: str, n: int, size: int, expires_in_s: int
    ) -> PresignedUpload: ...

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
        """A URL of one version of the object, for GET, or with ``head`` for HEAD.

        The store answers with these ``filename`` (as an attachment) and ``content_type``, whatever
        the object was stored with. ``None``: the version that is the newest when it is used.
        """

    async def create_multipart(self, key: str, announced: Announced, deadline: Deadline) -> str:
        """Gives the upload id."""

    async def complete_multipart(
        self, key: str, *, upload_id: str, parts: Sequence[tuple[int, str]], deadline: Deadline
    ) -> None:
        """``parts`` are (n, etag). ``Conflict`` when the store refuses the list.

        An upload that is gone is no error: it was completed (``head`` finds the object, in a moment
        if that is happening right now) or aborted.
        """

    async def abort_multipart(self, key: str, *, upload_id: str, deadline: Deadline) -> None:
        """Gone already is success."""

    async def head(self, key: str, deadline: Deadline) -> ObjectHead | None: ...

    async def delete(self, key: str, deadline: Deadline) -> None:
        """Removes the object with all its versions; nothing there is success."""

    async def check(self, deadline: Deadline) -> None: ...


class Workflows(Protocol):
    """``UploadWorkflow`` seen from here. Raises ``TemporalUnavailable`` or ``TemporalTimeout``."""

    async def start(self, ref: DocumentRef, announced: Announced, deadline: Deadline) -> None:
        """``Conflict`` when the id was ever used."""

    async def describe(self, ref: DocumentRef, deadline: Deadline) -> UploadStatus | None:
        """From the memo, with no worker alive; ``None`` when no such workflow is known."""

    async def progress(self, ref: DocumentRef, deadline: Deadline) -> UploadStatus | None:
        """Asks the running workflow; ``None`` when no worker answers in time."""

    async def signal_completed(
        self, ref: DocumentRef, head: ObjectHead, deadline: Deadline
    ) -> None:
        """``NotFound`` when the workflow is over or unknown."""

    async def cancel(self, ref: DocumentRef, deadline: Deadline) -> None:
        """Gone or closed already is success."""

    async def list_open(
        self, tenant: str, owner: str, deadline: Deadline
    ) -> Sequence[UploadStatus]: ...

    async def check(self, deadline: Deadline) -> None: ...
