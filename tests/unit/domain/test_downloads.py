"""How a stored document is given out: under which name and as which type."""

from __future__ import annotations

import pytest

from gateway.domain.documents import (
    MOST_FILENAME_BYTES,
    content_disposition,
    download_name,
    download_type,
    filename_fault,
)

AWKWARD = [
    'a"b.pdf', "a;b.pdf", "a\\b.pdf", "../../etc/passwd", "a\r\nSet-Cookie: x=1.pdf", "a\0b.pdf",
    "exe\u202efdp.exe", "a\u2028b.pdf", "Übersicht – 100%.pdf", "報告書.pdf", "😀.pdf", "x" * 300,
    "ü" * 200 + ".pdf", " a.pdf ", ".", "..", "", "   ", "a'b*c(d).pdf", "a%2Fb.pdf", "a\x85.pdf",
    "\u200f\u061c.pdf", "x" * 100_000 + ".pdf",
]  # fmt: skip


@pytest.mark.parametrize("filename", AWKWARD)
def test_any_name_becomes_one_that_is_safe_to_save(filename: str) -> None:
    """What a core says a document is called is no more to be believed than what a client said."""
    name = download_name(filename)
    assert filename_fault(name) is None, name
    assert len(name.encode()) <= MOST_FILENAME_BYTES
    if filename_fault(filename) is None:
        assert name == filename
    if filename.endswith(".pdf"):
        assert name.endswith(".pdf")


@pytest.mark.parametrize("filename", AWKWARD)
def test_the_header_is_one_line_of_ascii_with_both_names(filename: str) -> None:
    """RFC 6266 and RFC 8187: an attachment, a quoted name for old clients, the whole for others."""
    header = content_disposition(download_name(filename))
    assert header.isascii()
    assert header.isprintable()
    assert header.startswith('attachment; filename="')
    plain = header.split('"')[1]
    assert not set(plain) & set("\"\\/;%\r\n'*")
    encoded = header.rsplit("filename*=UTF-8''", 1)[1]
    assert all(c.isalnum() or c in "-._~%" for c in encoded)


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ("application/pdf", "application/pdf"),
        ("Text/Plain; charset=utf-8", "text/plain"),
        ("text/markdown", "text/markdown"),
        ("text/html", "application/octet-stream"),
        ("TEXT/HTML", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("application/xhtml+xml", "application/octet-stream"),
        ("text/xml", "application/octet-stream"),
        ("text/javascript", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("text/plain, text/html", "application/octet-stream"),
    ],
)
def test_no_type_that_a_browser_runs_is_given_out(stored: str, given: str) -> None:
    """An upload must not become a page of the store's origin."""
    assert download_type(stored) == given
