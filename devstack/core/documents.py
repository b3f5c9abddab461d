"""What a document is: whose, under which names, and what was announced about it. Plain rules.

The gateway and the core agree on these names without asking each other: the object is
``uploads/<tenant>/<owner>/<document_id>``, its workflow ``upload/<tenant>/<owner>/<document_id>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
DOCUMENT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SHA256 = re.compile(r"[0-9a-f]{64}")
OBJECT_PREFIX = "uploads/"

Status = Literal["processing", "indexed", "failed", "expired"]


@dataclass(frozen=True, slots=True, order=True)
class Owner:
    """A subject in a tenant: everything the core stores belongs to exactly one."""

    tenant: str
    subject: str


@dataclass(frozen=True, slots=True)
class Announced:
    """What the client announced about its upload before sending it; sizes in bytes."""

    owner: Owner
    document_id: str
    filename: str
    content_type: str
    size: int
    sha256: str | None
    upload_id: str | None
    expires_at: datetime | None

    @property
    def object_key(self) -> str:
        return f"{OBJECT_PREFIX}{self.owner.tenant}/{self.owner.subject}/{self.document_id}"

    @property
    def workflow_id(self) -> str:
        return f"upload/{self.owner.tenant}/{self.owner.subject}/{self.document_id}"


@dataclass(frozen=True, slots=True)
class Completed:
    """What the gateway saw in storage when the client completed: the version to read."""

    etag: str | None
    version_id: str | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Record:
    """A document as the core's API shows it; times are RFC 3339 in UTC, ``size`` is in bytes.

    ``warnings`` has a sentence for its owner for each thing that could not be read of it.
    ``version_id`` is the version of the object that the document was read from; None where the
    bucket keeps no versions.
    """

    document_id: str
    filename: str
    content_type: str
    size: int
    sha256: str | None
    status: Status
    error: str | None
    created_at: str
    updated_at: str
    chunks: int
    version_id: str | None = None
    warnings: tuple[str, ...] = ()


class InvalidAnnouncement(ValueError):
    """The workflow's argument is not one the gateway would send; the message names the field."""


def is_document_id(value: str) -> bool:
    """Whether this is a lower-case UUIDv7, the only spelling there is."""
    return DOCUMENT_ID.fullmatch(value) is not None


def is_name(value: str) -> bool:
    """Whether this can be a tenant or a subject."""
    return NAME.fullmatch(value) is not None


def announced_at(document_id: str) -> datetime:
    """When a document was announced: a UUIDv7 begins with its time in milliseconds."""
    milliseconds = int(document_id.replace("-", "")[:12], 16)
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)


def owner_of_key(key: str) -> tuple[Owner, str] | None:
    """Owner and document id of an object key, or None when the key is not one of ours."""
    parts = key.split("/")
    if len(parts) != 4 or parts[0] + "/" != OBJECT_PREFIX:
        return None
    _, tenant, subject, document_id = parts
    if not (is_name(tenant) and is_name(subject) and is_document_id(document_id)):
        return None
    return Owner(tenant, subject), document_id


def rfc3339(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC with milliseconds, so that strings sort as moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_time(value: str) -> datetime:
    """The moment an RFC 3339 string names; a string without an offset is refused."""
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError("a time needs an offset")
    return moment


def _text(fields: Mapping[str, Any], name: str, longest: int) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value or len(value) > longest:
        raise InvalidAnnouncement(f"{name} is missing or not a text of at most {longest} letters")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidAnnouncement(f"{name} has half a surrogate pair in it")
    return value


def _optional_text(fields: Mapping[str, Any], name: str, longest: int) -> str | None:
    return None if fields.get(name) in (None, "") else _text(fields, name, longest)


def _size(fields: Mapping[str, Any]) -> int:
    value = fields.get("size")
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InvalidAnnouncement("size is not a number of bytes")
    return value


def _expires_at(fields: Mapping[str, Any]) -> datetime | None:
    value = _optional_text(fields, "expires_at", 64)
    try:
        return None if value is None else parse_time(value)
    except ValueError as fault:
        raise InvalidAnnouncement("expires_at is not an RFC 3339 time") from fault


def parse_announced(fields: Any) -> Announced:
    """The workflow's argument, checked. Fields unknown here are left alone: the gateway may grow.

    Raises:
        InvalidAnnouncement: when a field is missing, malformed, or could not be part of a key.
    """
    if not isinstance(fields, Mapping):
        raise InvalidAnnouncement("the argument is not an object")
    owner = Owner(_text(fields, "tenant", 64), _text(fields, "owner", 64))
    document_id = _text(fields, "document_id", 36)
    sha256 = _optional_text(fields, "sha256", 64)
    if not (is_name(owner.tenant) and is_name(owner.subject)):
        raise InvalidAnnouncement("tenant or owner is not a valid name")
    if not is_document_id(document_id):
        raise InvalidAnnouncement("document_id is not a lower-case UUIDv7")
    if sha256 is not None and not SHA256.fullmatch(sha256):
        raise InvalidAnnouncement("sha256 is not 64 lower-case hexadecimal digits")
    return Announced(
        owner=owner,
        document_id=document_id,
        filename=_text(fields, "filename", 1024),
        content_type=_text(fields, "content_type", 255),
        size=_size(fields),
        sha256=sha256,
        upload_id=_optional_text(fields, "upload_id", 1024),
        expires_at=_expires_at(fields),
    )


def parse_completed(fields: Any) -> Completed | None:
    """The signal's argument, or None when it is not one: a stray signal must not end a workflow."""
    if not isinstance(fields, Mapping):
        return None
    etag, version_id, size = fields.get("etag"), fields.get("version_id"), fields.get("size")
    if not (isinstance(etag, str) and etag) and not (isinstance(version_id, str) and version_id):
        return None
    return Completed(
        etag=etag if isinstance(etag, str) and etag else None,
        version_id=version_id if isinstance(version_id, str) and version_id else None,
        size=size if isinstance(size, int) and not isinstance(size, bool) else None,
    )


def upload_deadline(
    announced: Announced, started_at: datetime, *, timeout_s: float, grace_s: float
) -> datetime:
    """When an upload that was never completed expires.

    The form's own end plus the grace, or, when the argument names none, the time-out counted
    from the workflow's start.
    """
    if announced.expires_at is not None:
        return announced.expires_at + timedelta(seconds=grace_s)
    return started_at + timedelta(seconds=timeout_s)
