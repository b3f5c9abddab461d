"""Records and passages of a core: which can be, and in which order a page has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.domain.core_records import Passage, page_fault, passages_fault, record_fault
from gateway.domain.documents import CoreDocument

IDS = [f"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5{n}" for n in "dcba"]
TIME = "2027-01-15T08:00:00Z"
GOOD = CoreDocument(IDS[0], "a.txt", "text/plain", 3, "indexed", None, TIME, TIME, "0" * 64)


def page(*ids: str) -> list[CoreDocument]:
    return [replace(GOOD, document_id=one) for one in ids]


@pytest.mark.parametrize(
    "good",
    [{}, {"size": 0}, {"sha256": None}, {"created_at": "2027-01-15T08:00:00.123456+00:00"}],
)
def test_a_record_that_can_be_has_no_fault(good: dict[str, Any]) -> None:
    """An import may know no checksum; times are RFC 3339 in any of its spellings."""
    assert record_fault(replace(GOOD, **good)) is None


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("document_id", "../x"),
        ("document_id", ""),
        ("document_id", IDS[0].upper()),
        ("document_id", IDS[0] + "\n"),
        ("size", -1),
        ("sha256", "A" * 64),
        ("version_id", ""),
        ("version_id", "a b"),
        ("version_id", "a\n"),
        ("version_id", "a" * 1025),
        ("sha256", "0" * 64 + "\n"),
        ("created_at", "yesterday"),
        ("updated_at", "2027-01-15"),
        ("updated_at", TIME + "\n"),
    ],
)
def test_a_record_that_cannot_be_is_told_by_its_field(field: str, wrong: Any) -> None:
    """Nothing of it may be shown, or become part of a path."""
    assert record_fault(replace(GOOD, **{field: wrong})) == field
    assert page_fault([replace(GOOD, **{field: wrong})], limit=5, before=None) == field


def test_a_page_goes_down_and_keeps_to_its_limit() -> None:
    """Newest first, below the cursor, none twice, and no more than were asked for."""
    assert page_fault(page(*IDS), limit=4, before=None) is None
    assert page_fault(page(*IDS[1:]), limit=3, before=IDS[0]) is None
    assert page_fault([], limit=1, before=IDS[0]) is None
    assert page_fault(page(*IDS), limit=3, before=None) == "more records than asked for"
    assert page_fault(page(*reversed(IDS)), limit=4, before=None) == "order"
    assert page_fault(page(IDS[0], IDS[0]), limit=4, before=None) == "order"
    assert page_fault(page(*IDS), limit=4, before=IDS[0]) == "order"


PASSAGE = Passage(IDS[0], "a.pdf", f"{IDS[0]}:0", 1.5, "Tea.", page=1)


def passage(**other: Any) -> Passage:
    return msgspec.structs.replace(PASSAGE, **other)


def test_passages_that_can_be_have_no_fault() -> None:
    """None at all, as many as were asked for, those of the documents that were asked for."""
    assert passages_fault([], most=1, document_ids=None) is None
    assert passages_fault([PASSAGE] * 50, most=50, document_ids=None) is None
    assert passages_fault([passage(page=None, score=-1.0)], most=1, document_ids=[IDS[0]]) is None


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ([PASSAGE] * 3, "more passages than asked for"),
        ([PASSAGE, passage(document_id="../x")], "document_id"),
        ([passage(document_id=IDS[1])], "a passage of a document that was not asked for"),
        ([passage(score=float("inf"))], "score"),
        ([passage(page=0)], "page"),
    ],
)
def test_passages_that_cannot_be_are_the_cores_fault(found: list[Passage], fault: str) -> None:
    """None of them is shown: a core that mixes documents up may mix owners up as well."""
    assert passages_fault(found, most=2, document_ids=[IDS[0]]) == fault
