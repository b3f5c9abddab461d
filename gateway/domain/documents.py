"""Rules about documents: their names elsewhere, what may be announced, what an upload must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DocumentState = Literal["awaiting_upload", "processing", "indexed", "failed", "expired"]


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A document of one owner; its names elsewhere are computed, never read from a request."""

    tenant: str
    owner: str
    document_id: str

    @property
    def object_key(self) -> str:
        return f"uploads/{self.tenant}/{self.owner}/{self.document_id}"

    @property
    def workflow_id(self) -> str:
        return f"upload/{self.tenant}/{self.owner}/{self.document_id}"


@dataclass(frozen=True, slots=True)
class Announced:
    """What the client said it will upload: the workflow's argument and its memo.

    ``size`` is in bytes, ``sha256`` lower-case hex, ``upload_id`` S3's for a multipart upload,
    ``expires_at`` the upload form's end in Unix seconds.
    """

    filename: str
    content_type: str
    size: int
    sha256: str | None
    upload_id: str | None
    expires_at: int


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """A document as its workflow knows it. ``progress`` is 0..1, ``created_at`` Unix seconds."""

    ref: DocumentRef
    announced: Announced
    state: DocumentState
    cancelled: bool
    created_at: float
    progress: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CoreDocument:
    """A document as the core's registry knows it: the truth once its workflow is gone."""

    document_id: str
    filename: str
    content_type: str
    size: int
    status: DocumentState
    error: str | None
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What the object store says of an object. ``sha256`` is lower-case hex where it knows it."""

    size: int
    content_type: str
    etag: str
    version_id: str | None
    sha256: str | None
