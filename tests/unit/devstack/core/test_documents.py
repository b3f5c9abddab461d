"""Names and announcements: what is accepted from a workflow's argument and signal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.core.documents import (
    Completed,
    InvalidAnnouncement,
    Owner,
    announced_at,
    owner_of_key,
    parse_announced,
    parse_completed,
    upload_deadline,
)

ID = "01890a5d-ac96-774b-bcce-b302099a8057"
FIELDS: dict[str, Any] = {
    "document_id": ID,
    "tenant": "acme",
    "owner": "alice",
    "filename": "a b.pdf",
    "content_type": "application/pdf",
    "size": 5,
    "sha256": "ab" * 32,
    "expires_at": "2026-01-02T03:04:05Z",
}
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def test_key_and_workflow_id_are_computed_from_the_names() -> None:
    """Both carry tenant, owner and document, in this order."""
    announced = parse_announced(FIELDS)
    assert announced.object_key == f"uploads/acme/alice/{ID}"
    assert announced.workflow_id == f"upload/acme/alice/{ID}"
    assert owner_of_key(announced.object_key) == (Owner("acme", "alice"), ID)


def test_optional_fields_may_be_missing_or_null() -> None:
    """No hash, no multipart upload, no expiry; fields of a newer gateway are left alone."""
    few = {k: v for k, v in FIELDS.items() if k not in ("sha256", "expires_at")}
    announced = parse_announced({**few, "upload_id": None, "colour": "red"})
    assert (announced.sha256, announced.upload_id, announced.expires_at) == (None, None, None)


BAD = [
    ("document_id", ID.upper()),
    ("document_id", "01890a5d-ac96-474b-bcce-b302099a8057"),
    ("tenant", ".."),
    ("tenant", "a/b"),
    ("owner", "Alice"),
    ("owner", ""),
    ("owner", None),
    ("filename", 1),
    ("filename", "x" * 1025),
    ("filename", "\ud800"),
    ("content_type", None),
    ("size", -1),
    ("size", True),
    ("size", "5"),
    ("sha256", "AB" * 32),
    ("sha256", "ab"),
    ("expires_at", "tomorrow"),
    ("expires_at", "2026-01-02T03:04:05"),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_malformed_announcement_is_refused(field: str, value: Any) -> None:
    """Nothing odd becomes part of a key, a path or a record."""
    with pytest.raises(InvalidAnnouncement, match=field):
        parse_announced({**FIELDS, field: value})


@pytest.mark.parametrize(
    "key",
    ["", "uploads/", f"uploads/a/{ID}", f"other/a/b/{ID}", f"uploads/../b/{ID}", "uploads/a/b/c"],
)
def test_foreign_keys_are_nobodys(key: str) -> None:
    """The sweep leaves alone what the gateway would not have made."""
    assert owner_of_key(key) is None


def test_completion_needs_a_version_or_an_etag() -> None:
    """Without either there is nothing to pin."""
    assert parse_completed({"etag": '"x"', "version_id": None, "size": 1}) == Completed(
        '"x"', None, 1
    )
    assert parse_completed({"version_id": "v", "size": True}) == Completed(None, "v", None)
    for stray in (None, [], "x", {}, {"etag": "", "version_id": 3}):
        assert parse_completed(stray) is None


def test_upload_expires_a_grace_after_its_form() -> None:
    """The form's end counts when it is known, else the time since the start."""
    announced = parse_announced(FIELDS)
    deadline = upload_deadline(announced, STARTED, timeout_s=60, grace_s=600)
    assert deadline == datetime(2026, 1, 2, 3, 14, 5, tzinfo=UTC)
    unknown = parse_announced({**FIELDS, "expires_at": None})
    deadline = upload_deadline(unknown, STARTED, timeout_s=60, grace_s=600)
    assert deadline == STARTED + timedelta(seconds=60)


def test_document_id_tells_when_it_was_made() -> None:
    """The sweep counts an upload's age from its id."""
    example = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"  # RFC 9562, appendix A.6
    assert announced_at(example) == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
