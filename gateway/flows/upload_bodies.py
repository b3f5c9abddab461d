"""What an upload's requests and answers hold, as the routes read and write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.domain.documents import ETAG, MOST_FILENAME_BYTES, MOST_PARTS, UploadMethod


class NewDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What will be uploaded. ``size`` is in bytes; ``sha256`` is 64 lower-case hex digits.

    Without a ``content_type``, as with ``application/octet-stream``, the name's ending decides.
    """

    filename: Annotated[str, Meta(min_length=1, max_length=MOST_FILENAME_BYTES)]
    size: Annotated[int, Meta(ge=1)]
    content_type: Annotated[str, Meta(max_length=255)] | None = None
    # The length is given too: to Python ``$`` lets a line feed follow, to OpenAPI's readers not.
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)] | None = None
    upload_method: Literal["POST", "PUT"] | None = None


class UploadPermission(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to send the bytes: ``fields`` for POST, ``headers`` for PUT (all signed; to a second PUT
    the store answers 412), ``part_size`` (bytes) for MULTIPART, whose ``url`` gives the parts' own
    URLs. ``expires_at`` is RFC 3339.
    """

    method: UploadMethod
    url: str
    expires_at: str
    fields: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    part_size: int | None = None


class UploadTicket(msgspec.Struct, frozen=True):
    """The answer to an announcement."""

    document_id: str
    workflow_id: str
    upload: UploadPermission
    complete_url: str


class PartPermission(msgspec.Struct, frozen=True):
    n: int
    url: str
    headers: Mapping[str, str]
    expires_at: str


class PartPermissions(msgspec.Struct, frozen=True):
    parts: Sequence[PartPermission]


class UploadedPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part that was sent, with the ETag S3 answered."""

    n: Annotated[int, Meta(ge=1, le=MOST_PARTS)]
    etag: Annotated[str, Meta(pattern=ETAG, max_length=130)]


class Accepted(msgspec.Struct, frozen=True):
    """The answer to ``complete``, the same for every repetition."""

    document_id: str
    status: Literal["processing"] = "processing"
