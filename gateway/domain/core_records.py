"""What a core's registry may say of documents: checked before any of it is used or shown.

A core is trusted with an owner's documents, not with the gateway's promises: an id that is none
would go into paths and object keys, and a listing that does not go down would be read for ever.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.domain.documents import CoreDocument
from gateway.domain.ids import is_uuid7

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)\Z", re.A)


def record_fault(record: CoreDocument) -> str | None:
    """The name of the first field that cannot be, or ``None``. The name goes to our own log."""
    if not is_uuid7(record.document_id):
        return "document_id"
    if record.size < 0:
        return "size"
    if record.sha256 is not None and not _SHA256.match(record.sha256):
        return "sha256"
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
