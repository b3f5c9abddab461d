"""Reading files: what comes out of each format, and what a user is told of one that is broken."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from devstack.core.reading import child, formats, sandbox
from devstack.core.reading.formats import DOCX, HTML, MARKDOWN, PDF, TEXT, Unreadable, read_pages
from devstack.core.reading.pages import Page
from devstack.core.reading.sandbox import read_file
from tests.unit.devstack.core import sample_files


def read(tmp_path: Path, raw: bytes, content_type: str) -> list[Page]:
    path = tmp_path / "file"
    path.write_bytes(raw)
    return read_pages(path, content_type)


def test_pdf_text_keeps_its_page_numbers(tmp_path: Path) -> None:
    """Pages count from 1, and a page without text leaves a gap rather than a shift."""
    pages = read(tmp_path, sample_files.pdf("First page.", "", "Third (3) page."), PDF)
    assert pages == [Page(1, "First page."), Page(3, "Third (3) page.")]


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_pdf_protected_against_changes_only_is_read(tmp_path: Path, algorithm: str) -> None:
    """A PDF that opens without a password is not refused for being encrypted."""
    pages = read(tmp_path, sample_files.encrypted_pdf("Open to all.", "", algorithm), PDF)
    assert [page.text for page in pages] == ["Open to all."]


def test_docx_gives_paragraphs_and_table_rows_in_order(tmp_path: Path) -> None:
    """Text and tables come as they stand in the document."""
    raw = sample_files.docx("Before.", table=[["Price", "30 EUR"], ["Weight", "2 kg"]])
    (page,) = read(tmp_path, raw, DOCX)
    assert page.number is None
    assert page.text == "Before.\n\nPrice | 30 EUR\n\nWeight | 2 kg"


def test_html_gives_visible_text_only(tmp_path: Path) -> None:
    """Scripts, styles and comments are no text; blocks end paragraphs, inline marks do not."""
    raw = b"""<!doctype html><html><head><title>T</title><style>p{}</style></head><body>
        <h1>Tea</h1><p>Steep <b>three</b>\nminutes.</p><!-- not this --><script>alert(1)</script>
        <ul><li>Green<li>Black</ul></body></html>"""
    (page,) = read(tmp_path, raw, HTML)
    assert page.text == "Tea\n\nSteep three minutes.\n\nGreen\n\nBlack"


def test_html_is_decoded_as_its_meta_element_says(tmp_path: Path) -> None:
    """A page may declare its character set."""
    raw = '<meta charset="iso-8859-1"><p>Café</p>'.encode("latin-1")
    (page,) = read(tmp_path, raw, HTML)
    assert page.text == "Café"


def test_markdown_loses_its_marks_and_keeps_its_words(tmp_path: Path) -> None:
    """Headings, lists, emphasis, links and fences are layout."""
    raw = b"# Tea #\nSteep **three** minutes, see [the label](http://x/y).\n\n- Green\n- `Black`\n"
    (page,) = read(tmp_path, raw, MARKDOWN)
    assert page.text.split("\n\n")[0].strip() == "Tea"
    assert "Steep three minutes, see the label." in page.text
    assert not set("#*`[]") & set(page.text)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_decoded_by_its_byte_order_mark_else_as_utf_8(
    tmp_path: Path, encoding: str
) -> None:
    """Windows editors write a mark; everybody else writes UTF-8."""
    (page,) = read(tmp_path, "Grüße".encode(encoding), TEXT)
    assert page.text == "Grüße"


def test_control_characters_become_spaces(tmp_path: Path) -> None:
    """No control character gets into an index or an event."""
    (page,) = read(tmp_path, b"a\x07b\x1bc\n", TEXT)
    assert page.text == "a b c\n"


def awaited_text(path: Path) -> str:
    """The text of a file once it is there."""
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.read_text()


BROKEN = {
    "empty": (b"", TEXT, "empty"),
    "blank": (b" \n\t ", TEXT, "no text"),
    "scan": (sample_files.pdf("", ""), PDF, "scan"),
    "password": (sample_files.encrypted_pdf("Secret.", "s3cret"), PDF, "password"),
    "not a pdf": (b"PK\x03\x04 something else", PDF, "not a PDF"),
    "cut pdf": (sample_files.pdf("Text.")[:200], PDF, "damaged"),
    "not a docx": (b"%PDF-1.4 something else", DOCX, "not a Word document"),
    "cut docx": (sample_files.docx("Text.")[:-300], DOCX, "Word document"),
    "bomb": (sample_files.docx_bomb(300_000_000), DOCX, "bomb"),
    "small bomb": (sample_files.docx_bomb(50_000_000), DOCX, "bomb"),
    "bomb that lies": (sample_files.docx_bomb(50_000_000, lie=True), DOCX, "Word document"),
    "latin-1": ("Café".encode("latin-1"), TEXT, "UTF-8"),
    "unknown charset": (b'<meta charset="x-klingon"><p>x</p>', HTML, "X-KLINGON"),
    "binary": (b"\x00\x01\x02", TEXT, "not a text"),
    "too much text": (b"word " * 10_000_000, TEXT, "10,000,000 characters"),
    "too many bytes": (b"w" * (64 * 1024 * 1024 + 1), TEXT, "64 MiB"),
    "unknown type": (b"x", "image/png", "image/png"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_is_refused_with_a_message_for_its_owner(tmp_path: Path, name: str) -> None:
    """What cannot be read says why, in words, and never as a parser's exception."""
    raw, content_type, expected = BROKEN[name]
    with pytest.raises(Unreadable, match=expected):
        read(tmp_path, raw, content_type)


async def test_child_reads_a_file_and_hands_back_its_pages(tmp_path: Path) -> None:
    """The text comes out of a process of its own as it would come here."""
    (tmp_path / "in").write_bytes(sample_files.pdf("Across a process."))
    pages = await read_file(tmp_path / "in", tmp_path / "out", PDF)
    assert pages == [Page(1, "Across a process.")]


async def test_child_hands_back_why_a_file_is_unreadable(tmp_path: Path) -> None:
    """The message for the user survives the way out of the child."""
    (tmp_path / "in").write_bytes(sample_files.pdf(""))
    with pytest.raises(Unreadable, match="scan"):
        await read_file(tmp_path / "in", tmp_path / "out", PDF)


async def test_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """The time limit ends the child, and the user learns of the limit."""
    (tmp_path / "in").write_bytes(b"x")
    with pytest.raises(Unreadable, match="longer than 0 s"):
        await read_file(tmp_path / "in", tmp_path / "out", TEXT, timeout_s=0.0)


async def test_child_that_is_killed_from_outside_is_no_fault_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed child is worth another attempt; a crashed one is not."""
    (tmp_path / "in").write_bytes(b"x")
    monkeypatch.setattr(sandbox, "_COMMAND", ("sh", "-c", "kill -9 $$"))
    with pytest.raises(sandbox.ReaderDied):
        await read_file(tmp_path / "in", tmp_path / "out", TEXT)
    for provoked in ("SEGV", "XCPU"):
        monkeypatch.setattr(sandbox, "_COMMAND", ("sh", "-c", f"kill -{provoked} $$"))
        with pytest.raises(Unreadable, match="crash"):
            await read_file(tmp_path / "in", tmp_path / "out", TEXT)


async def test_child_sets_its_limits_and_has_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that takes over its reader finds no credentials, and a bounded process."""
    monkeypatch.setenv("CORE_S3_SECRET_KEY", "s3-secret")
    probe = (
        "import json, os, resource, sys; from devstack.core.reading import child;"
        "child._set_limits();"
        "limits = [resource.getrlimit(k)[0] for k in (resource.RLIMIT_AS, resource.RLIMIT_CPU)];"
        "text = json.dumps([limits, dict(os.environ)]);"
        "open(sys.argv[2], 'w').write(json.dumps({'pages': [[None, text]]}))"
    )
    monkeypatch.setattr(sandbox, "_COMMAND", (sys.executable, "-c", probe))
    (page,) = await read_file(tmp_path / "in", tmp_path / "out", TEXT)
    limits, environ = json.loads(page.text)
    assert limits == [child.MEMORY_LIMIT_BYTES, child.CPU_LIMIT_S]
    assert not [name for name in environ if name.startswith("CORE_")]


async def test_cancelled_reading_leaves_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops waiting also ends the child."""
    marker = tmp_path / "pid"
    (tmp_path / "in").write_bytes(b"x")
    monkeypatch.setattr(
        sandbox, "_COMMAND", ("sh", "-c", f"echo $$ > {marker}.new; mv {marker}.new {marker}; cat")
    )
    task = asyncio.create_task(read_file(tmp_path / "in", tmp_path / "out", TEXT))
    pid = await asyncio.to_thread(awaited_text, marker)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_limits_are_told_in_the_messages() -> None:
    """The numbers a user reads are the numbers that are enforced."""
    assert formats.TEXT_LIMIT_CHARS == 10_000_000
    assert formats.MARKUP_LIMIT_BYTES == 64 * 1024 * 1024
