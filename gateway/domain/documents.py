"""Rules about documents: their keys, which announcements are valid, what an upload must be."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from gateway.domain.ids import is_uuid7
from gateway.errors import ValidationFailed

DocumentState = Literal["awaiting_upload", "processing", "indexed", "failed", "expired"]
# A core may say more of a document; nobody reads it.
MOST_WARNINGS = 20
# What is done with a document that is processed, in this order.
IngestStage = Literal["queued", "fetching", "reading", "splitting", "indexing"]
UploadMethod = Literal["POST", "PUT", "MULTIPART"]

MIB = 1024 * 1024
# S3's own rules: every part but the last has at least 5 MiB, and there are at most 10,000 parts.
SMALLEST_PART_BYTES = 5 * MIB
MOST_PARTS = 10_000
MOST_FILENAME_BYTES = 255  # The limit of file systems, so that a download can keep its name.

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ALLOWED_TYPES: Mapping[str, frozenset[str]] = {
    "application/pdf": frozenset({"pdf"}),
    DOCX: frozenset({"docx"}),
    "text/html": frozenset({"html", "htm"}),
    "text/markdown": frozenset({"md", "markdown"}),
    "text/plain": frozenset({"txt", "text"}),
}
# What browsers, operating systems and libraries call the same types; what is kept is the key above.
OTHER_NAMES: Mapping[str, str] = {
    "application/x-pdf": "application/pdf",
    "application/acrobat": "application/pdf",
    "application/vnd.pdf": "application/pdf",
    "text/pdf": "application/pdf",
    "text/x-pdf": "application/pdf",
    "application/docx": DOCX,
    "application/x-docx": DOCX,
    "application/html": "text/html",
    "text/x-html": "text/html",
    "application/markdown": "text/markdown",
    "application/x-markdown": "text/markdown",
    "text/md": "text/markdown",
    "text/x-markdown": "text/markdown",
    "text/x-web-markdown": "text/markdown",
    "text/vnd.daringfireball.markdown": "text/markdown",
    "application/txt": "text/plain",
    "text/x-plain": "text/plain",
}
# These say nothing of what a file is: its name's ending does. Browsers send the first two for
# ``.md``, and stores give the last one to an object without a type.
UNSPECIFIC_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """A document of one owner; its key and workflow id are computed, never taken from a request."""

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
    """What the client announced: the workflow's argument and its memo.

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
    """A document as its workflow knows it. ``progress`` is 0..1, ``created_at`` Unix seconds.

    ``stage`` is what is done with it, ``ahead`` how many wait before it, where the worker tells.
    ``cancelled`` is true as soon as a cancel was requested, before any worker handles it;
    ``closed`` when the workflow has ended: from then on the core's record is authoritative.
    """

    ref: DocumentRef
    announced: Announced
    state: DocumentState
    cancelled: bool
    created_at: float
    progress: float | None = None
    stage: IngestStage | None = None
    ahead: int | None = None
    error: str | None = None
    warnings: tuple[str, ...] = ()
    closed: bool = False


@dataclass(frozen=True, slots=True)
class CoreDocument:
    """A document as the core's registry knows it; authoritative once its workflow has ended.

    ``version_id`` is the version of the object that was read; ``None`` where the core does not say,
    or the bucket keeps no versions.
    """

    document_id: str
    filename: str
    content_type: str
    size: int
    status: DocumentState
    error: str | None
    created_at: str
    updated_at: str
    sha256: str | None = None
    warnings: tuple[str, ...] = ()
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What the object store knows about an object. ``sha256`` is lower-case hex, if known."""

    size: int
    content_type: str
    etag: str
    version_id: str | None
    sha256: str | None


# --- what may be announced ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UploadRules:
    """What an upload may be. Sizes are bytes, lifetimes seconds.

    ``types`` maps a content type to its extensions (lower case, no dot); an empty set allows any.
    A POST or PUT permission ends after ``form_lifetime_s``. A multipart upload may take
    ``multipart_lifetime_s``; its part URLs are valid for ``form_lifetime_s`` each and can be
    requested again. ``part_bytes`` must not change while multipart uploads are open, as the parts'
    sizes are computed from it.
    """

    types: Mapping[str, Collection[str]]
    limit_bytes: int
    multipart_threshold_bytes: int
    part_bytes: int
    form_lifetime_s: int
    multipart_lifetime_s: int = 6 * 3600


_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
# Cc control characters, Cs lone surrogates, Zl and Zp line and paragraph separators. Bidi controls
# make "exe.txt" out of "txt.exe" on a screen; they are of category Cf with these classes.
_BAD_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI_CONTROLS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_BIDI_MARKS = frozenset("\u200e\u200f\u061c")


def media_type(content_type: str) -> str:
    """The type and subtype in lower case, without parameters (RFC 9110, 8.3.1)."""
    return _lower(content_type.partition(";")[0].strip(" \t"))


def _lower(text: str) -> str:
    """ASCII letters in lower case: to ``str.lower`` the Kelvin sign is a ``k``, too."""
    return text.lower() if text.isascii() else text


def canonical_type(
    content_type: str | None, filename: str, types: Mapping[str, Collection[str]]
) -> str:
    """The one spelling in which a type is checked, signed, stored and given to the workflow.

    An operator's own list goes before the other names: what is in ``types`` stays as it is. Where
    no type is given, the name's ending decides; what stays unknown is not in ``types``.
    """
    given = media_type(content_type or "")
    if given in types:
        return given
    if given in UNSPECIFIC_TYPES:
        ending = extension(filename)
        return next((name for name, endings in types.items() if ending in endings), given)
    return OTHER_NAMES.get(given, given)


def check_announcement(
    filename: str, content_type: str, size: int, sha256: str | None, rules: UploadRules
) -> dict[str, str]:
    """The announcement's faults, as field → what was expected; empty if there are none.

    ``content_type`` is in its canonical spelling.
    """
    faults: dict[str, str] = {}
    if fault := filename_fault(filename):
        faults["filename"] = fault
    if content_type not in rules.types:
        faults["content_type"] = f"one of {', '.join(sorted(rules.types))}"
    elif not fault and not _agree(filename, rules.types[content_type]):
        endings = ", ".join(f".{e}" for e in sorted(rules.types[content_type]))
        faults["filename"] = f"a name ending in {endings}, to agree with the content type"
    if not 0 < size <= rules.limit_bytes:
        faults["size"] = f"1 to {rules.limit_bytes} bytes"
    if sha256 is not None and not _SHA256.match(sha256):
        faults["sha256"] = "64 lower-case hexadecimal digits"
    return faults


def filename_fault(filename: str) -> str | None:
    """What a filename should be, or ``None`` if it is valid. It is kept as given, never a path."""
    if any(_is_unsafe(character) for character in filename):
        return "no control characters, lone surrogates or direction marks"
    if not 0 < len(filename.encode()) <= MOST_FILENAME_BYTES:
        return f"1 to {MOST_FILENAME_BYTES} bytes of UTF-8"
    if "/" in filename or "\\" in filename or filename in {".", ".."}:
        return "a plain name without a path"
    if filename != filename.strip():
        return "no space at either end"
    return None


def _is_unsafe(character: str) -> bool:
    return (
        unicodedata.category(character) in _BAD_CATEGORIES
        or unicodedata.bidirectional(character) in _BIDI_CONTROLS
        or character in _BIDI_MARKS
    )


def _agree(filename: str, extensions: Collection[str]) -> bool:
    """A type without extensions (added by an operator) allows any."""
    return not extensions or extension(filename) in extensions


def extension(filename: str) -> str:
    """The lower-case ending after the last dot; empty when there is none (``.txt`` has none)."""
    stem, dot, ending = filename.rpartition(".")
    return _lower(ending) if dot and stem else ""


def content_disposition(filename: str) -> str:
    """The header that gives a download its name, in ASCII whatever the name holds.

    RFC 6266: ``filename`` is for old clients, with ``_`` for every special character;
    ``filename*`` (RFC 8187) has the whole name, and newer clients prefer it.
    """
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-()") else "_" for c in filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded_filename(filename)}"


# Of these a browser runs nothing, whatever it does with them. HTML and all others are given out as
# bytes without a meaning: they might run in the store's origin, beside everybody's documents.
_HARMLESS_TYPES = frozenset({"application/pdf", DOCX, "text/markdown", "text/plain"})


def download_type(content_type: str) -> str:
    """The type under which a stored document is given out: none that a browser would run."""
    given = media_type(content_type)
    return given if given in _HARMLESS_TYPES else "application/octet-stream"


def download_name(filename: str) -> str:
    """A name that is safe to save under, whatever a core says the document is called.

    What an announcement would be refused for becomes ``_``; a name that is too long keeps its
    ending.
    """
    safe = "".join("_" if c in "/\\" or _is_unsafe(c) else c for c in filename[-1024:]).strip()
    while len(safe.encode()) > MOST_FILENAME_BYTES:
        safe = safe[1:]
    return safe if safe.strip(".") else "document"


def encoded_filename(filename: str) -> str:
    """The name as percent-encoded UTF-8: object metadata and headers are ASCII."""
    return quote(filename, safe="")


# --- how it is sent -------------------------------------------------------------------------------


def upload_method(
    size: int, asked: Literal["POST", "PUT"] | None, rules: UploadRules
) -> UploadMethod:
    """POST, unless PUT was asked for; above the threshold always MULTIPART."""
    if size > rules.multipart_threshold_bytes:
        return "MULTIPART"
    return asked or "POST"


def part_size(size: int, rules: UploadRules) -> int:
    """Bytes of each part but the last: ``part_bytes``, or more if that gave too many parts."""
    least = -(-size // MOST_PARTS)
    return max(rules.part_bytes, SMALLEST_PART_BYTES, -(-least // MIB) * MIB)


def part_sizes(size: int, rules: UploadRules) -> list[int]:
    """The exact size of every part, first to last; they add up to ``size``."""
    each = part_size(size, rules)
    count = -(-size // each)
    return [each] * (count - 1) + [size - each * (count - 1)]


def check_part_numbers(numbers: Sequence[int], count: int, at_once: int = 1000) -> None:
    """Raises ``ValidationFailed`` unless ``numbers`` are 1..count, distinct, and not too many."""
    if not 0 < len(numbers) <= at_once:
        raise ValidationFailed(fields={"parts": f"1 to {at_once} part numbers"})
    if len(set(numbers)) != len(numbers):
        raise ValidationFailed(fields={"parts": "each part number once"})
    for i, n in enumerate(numbers):
        if not 1 <= n <= count:
            raise ValidationFailed(fields={f"parts[{i}]": f"a part number from 1 to {count}"})


ETAG = '^"?[!#-~]{1,128}"?$'
_ETAG = re.compile(r'"?[!#-~]{1,128}"?\Z')


def check_part_list(parts: Sequence[tuple[int, str]], count: int) -> list[tuple[int, str]]:
    """The parts in order, ETags in quotes; ``ValidationFailed`` unless each part is there once."""
    if sorted(n for n, _ in parts) != list(range(1, count + 1)):
        raise ValidationFailed(fields={"parts": f"each part from 1 to {count}, once"})
    for i, (_, etag) in enumerate(parts):
        if not _ETAG.match(etag):
            raise ValidationFailed(fields={f"parts[{i}].etag": "the ETag the part's PUT answered"})
    return [(n, '"' + etag.strip('"') + '"') for n, etag in sorted(parts)]


# --- what was uploaded ----------------------------------------------------------------------------


def mismatches(announced: Announced, head: ObjectHead) -> list[dict[str, str | int]]:
    """Differences between object and announcement: ``{"field", "announced", "found"}`` each.

    A store may give the type back in other letters or with a charset, which is no difference. A
    SHA-256 is compared if both are known; that of a multipart upload is verified later, by the
    workflow, when it reads the object.
    """
    facts: list[tuple[str, str | int, str | int]] = [
        ("size", announced.size, head.size),
        ("content_type", announced.content_type, media_type(head.content_type)),
    ]
    if announced.sha256 is not None and head.sha256 is not None:
        facts.append(("sha256", announced.sha256, head.sha256))
    return [{"field": f, "announced": a, "found": h} for f, a, h in facts if a != h]


# --- paging ---------------------------------------------------------------------------------------


# The id's 36 ASCII characters in base64url, which needs no padding.
CURSOR = "^[A-Za-z0-9_-]{48}$"


def encode_cursor(document_id: str) -> str:
    """An opaque string that means "after this document"."""
    return base64.urlsafe_b64encode(document_id.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The id in a cursor; ``ValidationFailed`` if ``encode_cursor`` did not make it."""
    try:
        document_id = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        found = document_id.decode("ascii")
    except (ValueError, binascii.Error):
        found = ""
    if not is_uuid7(found) or encode_cursor(found) != cursor:
        raise ValidationFailed(fields={"?cursor": "a next_cursor of this list"})
    return found
