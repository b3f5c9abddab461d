"""What a core may say of documents and passages: checked before any of it is used or shown.

A core is trusted with an owner's documents, not with the gateway's promises: an id that is none
would go into paths and object keys, and a listing that does not go down would be read for ever.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence

import msgspec

from gateway.domain.documents import CoreDocument
from gateway.domain.ids import is_uuid7

# As many as a question may ask for, and as a core may give where nothing is asked for.
MOST_PASSAGES = 50

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_VERSION_ID = re.compile(r"[!-~]{1,1024}\Z")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)\Z", re.A)


class Passage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A passage of a document; ``score`` is the retriever's, larger is better.

    ``page`` counts from 1, where the document has pages; ``section`` is the path of headings that
    the passage stands under, outermost first. ``truncated`` tells that ``text`` is only the
    passage's beginning.
    """

    document_id: str
    filename: str
    chunk_id: str
    score: float
    text: str
    page: int | None = None
    section: list[str] = []
    truncated: bool = False


def record_fault(record: CoreDocument) -> str | None:
    """The name of the first field that cannot be, or ``None``. The name goes to our own log."""
    if not is_uuid7(record.document_id):
        return "document_id"
    if record.size < 0:
        return "size"
    if record.sha256 is not None and not _SHA256.match(record.sha256):
        return "sha256"
    if record.version_id is not None and not _VERSION_ID.match(record.version_id):
        return "version_id"
    for name in ("created_at", "updated_at"):
        if not _RFC3339.match(getattr(record, name)):
            return name
    return None


def page_fault(records: Sequence[CoreDocument], *, limit: int, before: str | None) -> str | None:
    """What is wrong with a page of at most ``limit`` records, or ``None``.

    Ids go strictly down, from below ``before``: else a client that follows the cursors would see a
    document twice, or the same page for ever.
    """
    if len(records) > limit:
        return "more records than asked for"
    for record in records:
        if fault := record_fault(record):
            return fault
        if before is not None and record.document_id >= before:
            return "order"
        before = record.document_id
    return None


def passages_fault(
    passages: Sequence[Passage], *, most: int, document_ids: Collection[str] | None
) -> str | None:
    """What is wrong with the passages of a search, or ``None``.

    ``document_ids`` are the only documents that were searched; ``None``: all of the owner's.
    """
    if len(passages) > most:
        return "more passages than asked for"
    for passage in passages:
        if not is_uuid7(passage.document_id):
            return "document_id"
        if document_ids is not None and passage.document_id not in document_ids:
            return "a passage of a document that was not asked for"
        if not math.isfinite(passage.score):
            return "score"
        if passage.page is not None and passage.page < 1:
            return "page"
    return None
