"""The rules of documents: what may be announced, how it is sent, what must have come."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.documents import (
    ALLOWED_TYPES,
    MIB,
    MOST_PARTS,
    OTHER_NAMES,
    UNSPECIFIC_TYPES,
    Announced,
    DocumentRef,
    ObjectHead,
    canonical_type,
    check_announcement,
    check_part_list,
    check_part_numbers,
    content_disposition,
    decode_cursor,
    encode_cursor,
    encoded_filename,
    filename_fault,
    mismatches,
    part_size,
    part_sizes,
    upload_method,
)
from gateway.domain.ids import new_uuid7
from gateway.errors import ValidationFailed
from tests.unit.values import upload_rules

RULES = upload_rules()
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ID = "0190b2f0-0000-7000-8000-000000000001"


def test_names_elsewhere_are_computed_from_the_owner() -> None:
    """Object key and workflow id hold tenant, owner and id and nothing of the request."""
    ref = DocumentRef("acme", "alice", ID)
    assert ref.object_key == f"uploads/acme/alice/{ID}"
    assert ref.workflow_id == f"upload/acme/alice/{ID}"


@pytest.mark.parametrize(
    ("filename", "content_type"),
    [
        ("report.pdf", "application/pdf"),
        ("REPORT.PDF", "application/pdf"),
        ("a.b.docx", DOCX),
        ("index.htm", "text/html"),
        ("notes.markdown", "text/markdown"),
        ('Übersicht – 2026 (final); "v2" 100%.txt', "text/plain"),
        ("x" * 251 + ".txt", "text/plain"),
    ],
)
def test_good_announcement_has_no_faults(filename: str, content_type: str) -> None:
    """An allowed type with an extension that agrees, and a name that is merely data."""
    assert check_announcement(filename, content_type, 1, "0" * 64, RULES) == {}


@pytest.mark.parametrize(
    "filename",
    [
        "",
        ".",
        "..",
        "a/b.txt",
        "..\\b.txt",
        "a\x00.txt",
        "a\n.txt",
        "a\x7f.txt",
        "a\x85.txt",
        "a\u2028.txt",
        "\ud800.txt",
        "exe\u202etxt.txt",
        "a\u2066.txt",
        "a\u200f.txt",
        " a.txt",
        "a.txt ",
        "x" * 252 + ".txt",
        "ü" * 126 + ".txt",
        "report",
        "report.pdf",
        ".txt",
        "report.txt.",
    ],
)
def test_bad_filename_is_named(filename: str) -> None:
    """A path, a control or direction character, a wrong length or ending is told of the field."""
    assert set(check_announcement(filename, "text/plain", 1, None, RULES)) == {"filename"}


def test_every_fault_is_told_at_once() -> None:
    """All wrong fields are named, so one answer is enough to mend the call."""
    faults = check_announcement("a/b", "image/png", 0, "XYZ", RULES)
    assert set(faults) == {"filename", "content_type", "size", "sha256"}


@pytest.mark.parametrize("size", [0, -1, 1024 * MIB + 1])
def test_size_outside_the_limits_is_refused(size: int) -> None:
    """Nothing empty, nothing above the largest size."""
    assert set(check_announcement("a.txt", "text/plain", size, None, RULES)) == {"size"}
    assert check_announcement("a.txt", "text/plain", 1024 * MIB, None, RULES) == {}


@pytest.mark.parametrize("sha256", ["", "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n"])
def test_sha256_is_64_lower_case_hex_digits(sha256: str) -> None:
    """One spelling, so that digests compare as text."""
    assert set(check_announcement("a.txt", "text/plain", 1, sha256, RULES)) == {"sha256"}


def test_type_an_operator_added_goes_with_any_extension() -> None:
    """Without known extensions there is nothing that could disagree."""
    rules = upload_rules(types={"text/x-log": frozenset()})
    assert check_announcement("server.log.1", "text/x-log", 1, None, rules) == {}


def test_other_names_lead_to_allowed_types() -> None:
    """Every other name stands for a type there is, and none for two."""
    assert set(OTHER_NAMES.values()) <= set(ALLOWED_TYPES)
    assert not set(OTHER_NAMES) & (set(ALLOWED_TYPES) | UNSPECIFIC_TYPES)


def test_what_an_operator_lists_is_not_renamed() -> None:
    """His own list goes before our table of other names, and tells nothing by an ending."""
    types = {"text/x-markdown": frozenset[str](), "text/markdown": frozenset({"md"})}
    assert canonical_type("Text/X-Markdown", "a.md", types) == "text/x-markdown"
    assert canonical_type("text/x-web-markdown", "a.md", types) == "text/markdown"
    assert canonical_type(None, "a.markdown", types) == ""
    assert canonical_type("application/octet-stream", "a.md", types) == "text/markdown"


@given(st.text(min_size=1, max_size=80))
def test_content_disposition_is_safe_and_gives_the_name_back(name: str) -> None:
    """Printable ASCII with balanced quotes, and RFC 8187 brings the whole name back."""
    if filename_fault(name) is not None:
        return
    header = content_disposition(name)
    found = re.fullmatch(r"attachment; filename=\"([^\"\\]*)\"; filename\*=UTF-8''(\S+)", header)
    assert found is not None
    assert all(" " <= c <= "~" for c in header)
    assert unquote(found[2]) == name
    assert re.fullmatch(r"[A-Za-z0-9._~%-]+", encoded_filename(name))


@pytest.mark.parametrize(
    ("size", "asked", "method"),
    [
        (1, None, "POST"),
        (1, "PUT", "PUT"),
        (100 * MIB, None, "POST"),
        (100 * MIB + 1, None, "MULTIPART"),
        (100 * MIB + 1, "PUT", "MULTIPART"),
    ],
)
def test_upload_method(size: int, asked: str | None, method: str) -> None:
    """A form, a PUT on request, parts above the threshold whatever was asked."""
    assert upload_method(size, asked, RULES) == method  # type: ignore[arg-type]


@given(st.integers(1, 5 * 1024 * 1024 * MIB), st.integers(1, 100 * MIB))
def test_parts_keep_to_what_every_s3_takes(size: int, part_bytes: int) -> None:
    """At most 10,000 parts of at least 5 MiB but the last, which add up to the size."""
    rules = upload_rules(part_bytes=part_bytes)
    sizes = part_sizes(size, rules)
    assert sum(sizes) == size
    assert len(sizes) <= MOST_PARTS
    assert set(sizes[:-1]) <= {part_size(size, rules)}
    assert part_size(size, rules) >= max(5 * MIB, part_bytes)
    assert 0 < sizes[-1] <= part_size(size, rules)


@pytest.mark.parametrize("numbers", [[], [0], [4], [-1], [1, 1], [*range(1, 4), 4]])
def test_part_numbers_that_do_not_exist_are_refused(numbers: list[int]) -> None:
    """Only distinct parts the upload has may be asked for."""
    with pytest.raises(ValidationFailed):
        check_part_numbers(numbers, 3)


def test_part_numbers_are_bounded_a_call() -> None:
    """A thousand signatures a call are enough."""
    check_part_numbers(range(1, 1001), 5000)
    with pytest.raises(ValidationFailed):
        check_part_numbers(range(1, 1002), 5000)


def test_part_list_is_put_in_order_with_quoted_etags() -> None:
    """Clients send parts as they finished, with the quotes or without."""
    assert check_part_list([(2, '"b"'), (1, "a")], 2) == [(1, '"a"'), (2, '"b"')]


@pytest.mark.parametrize(
    "parts",
    [
        [(1, "a")],
        [(1, "a"), (1, "a")],
        [(1, "a"), (2, "b"), (3, "c")],
        [(1, "a"), (2, "")],
        [(1, "a"), (2, "b c")],
        [(1, "a"), (2, '"<x>"\n')],
    ],
)
def test_part_list_must_be_whole(parts: list[tuple[int, str]]) -> None:
    """Every part once, with an ETag that can be one."""
    with pytest.raises(ValidationFailed):
        check_part_list(parts, 2)


ANNOUNCED = Announced("a.txt", "text/plain", 3, "a" * 64, None, 0)
HEAD = ObjectHead(3, "text/plain", '"e"', None, "a" * 64)


def test_object_as_announced_has_no_mismatch() -> None:
    """The same, or the same as far as the store knows."""
    assert mismatches(ANNOUNCED, HEAD) == []
    assert mismatches(ANNOUNCED, replace(HEAD, sha256=None)) == []
    assert mismatches(replace(ANNOUNCED, sha256=None), HEAD) == []
    assert mismatches(ANNOUNCED, replace(HEAD, content_type="Text/Plain; charset=utf-8")) == []


def test_each_mismatch_is_a_fact() -> None:
    """Field, what was announced, what was found: for each that differs."""
    head = ObjectHead(4, "text/html", '"e"', None, "b" * 64)
    assert mismatches(ANNOUNCED, head) == [
        {"field": "size", "announced": 3, "found": 4},
        {"field": "content_type", "announced": "text/plain", "found": "text/html"},
        {"field": "sha256", "announced": "a" * 64, "found": "b" * 64},
    ]


def test_cursor_gives_its_document_back() -> None:
    """Opaque, and good in a URL as it stands."""
    document_id = new_uuid7(1_800_000_000.0)
    cursor = encode_cursor(document_id)
    assert decode_cursor(cursor) == document_id
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)


@given(st.text(max_size=80))
def test_cursor_nobody_made_is_refused(cursor: str) -> None:
    """Whatever it is, it names the parameter and is no other failure."""
    with pytest.raises(ValidationFailed) as failed:
        decode_cursor(cursor)
    assert set(failed.value.details["fields"]) == {"?cursor"}


def test_cursor_in_another_spelling_is_refused() -> None:
    """One document has one cursor: padding and stray characters are not skipped over."""
    cursor = encode_cursor(ID)
    for other in (cursor + "=", cursor[:4] + "\n" + cursor[4:], cursor + "AAAA", cursor[:-1]):
        with pytest.raises(ValidationFailed):
            decode_cursor(other)


def test_the_page_for_users_lists_every_name() -> None:
    """``docs/documents.md`` has each type in a row with its endings and its other names."""
    page = (Path(__file__).parents[3] / "docs/documents.md").read_text("utf-8")
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    for name, endings in ALLOWED_TYPES.items():
        others = {other for other, meant in OTHER_NAMES.items() if meant == name}
        told = set(re.findall(r"`([^`]+)`", rows[name]))
        assert told == {name, *others, *(f".{ending}" for ending in endings)}
