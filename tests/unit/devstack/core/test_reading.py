"""Reading files: what comes out of each format, and what a user is told of one that is broken."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from devstack.core.reading import builder, child, faults, sandbox
from devstack.core.reading.blocks import Block, ReadDocument
from devstack.core.reading.faults import Unreadable
from devstack.core.reading.formats import DOCX, HTML, MARKDOWN, PDF, TEXT, read_document
from devstack.core.reading.sandbox import read_file
from tests.unit.devstack.core import sample_files


def read(tmp_path: Path, raw: bytes, content_type: str) -> tuple[Block, ...]:
    return document(tmp_path, raw, content_type).blocks


def document(tmp_path: Path, raw: bytes, content_type: str) -> ReadDocument:
    path = tmp_path / "file"
    path.write_bytes(raw)
    return read_document(path, content_type)


def texts(blocks: tuple[Block, ...]) -> list[str]:
    return [block.text for block in blocks]


def test_pdf_text_keeps_its_page_numbers(tmp_path: Path) -> None:
    """Pages count from 1, and a page without text leaves a gap rather than a shift."""
    found = document(tmp_path, sample_files.pdf("First page.", "", "Third (3) page."), PDF)
    assert [(block.page, block.text) for block in found.blocks] == [
        *((1, "First page."), (3, "Third (3) page."))
    ]
    assert found.warnings == (
        "Page 2 of 3 could not be read: it has no text layer. Run text recognition (OCR) on it.",
    )


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_pdf_protected_against_changes_only_is_read(tmp_path: Path, algorithm: str) -> None:
    """A PDF that opens without a password is not refused for being encrypted."""
    blocks = read(tmp_path, sample_files.encrypted_pdf("Open to all.", "", algorithm), PDF)
    assert texts(blocks) == ["Open to all."]


def test_docx_gives_paragraphs_and_table_rows_in_order(tmp_path: Path) -> None:
    """Text and tables come as they stand in the document."""
    raw = sample_files.docx("Before.", table=[["Price", "30 EUR"], ["Weight", "2 kg"]])
    blocks = read(tmp_path, raw, DOCX)
    assert texts(blocks) == ["Before.", "Price · 30 EUR", "Weight · 2 kg"]
    assert {block.page for block in blocks} == {None}


def test_html_gives_visible_text_only(tmp_path: Path) -> None:
    """Scripts, styles and comments are no text; blocks end paragraphs, inline marks do not."""
    raw = b"""<!doctype html><html><head><title>T</title><style>p{}</style></head><body>
        <h1>Tea</h1><p>Steep <b>three</b>\nminutes.</p><!-- not this --><script>alert(1)</script>
        <ul><li>Green<li>Black</ul></body></html>"""
    assert texts(read(tmp_path, raw, HTML)) == ["Tea", "Steep three minutes.", "Green", "Black"]


def test_html_is_decoded_as_its_meta_element_says(tmp_path: Path) -> None:
    """A page may declare its character set."""
    raw = '<meta charset="iso-8859-1"><p>Café</p>'.encode("latin-1")
    (page,) = read(tmp_path, raw, HTML)
    assert page.text == "Café"


def test_markdown_loses_its_marks_and_keeps_its_words(tmp_path: Path) -> None:
    """Headings, lists, emphasis, links and fences are layout."""
    raw = b"# Tea #\nSteep **three** minutes, see [the label](http://x/y).\n\n- Green\n- `Black`\n"
    assert texts(read(tmp_path, raw, MARKDOWN)) == [
        *("Tea", "Steep three minutes, see the label.", "Green", "Black")
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_decoded_by_its_byte_order_mark_else_as_utf_8(
    tmp_path: Path, encoding: str
) -> None:
    """Windows editors write a mark; everybody else writes UTF-8."""
    (page,) = read(tmp_path, "Grüße".encode(encoding), TEXT)
    assert page.text == "Grüße"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Der Müller fährt über die Brücke; Größe und Maß zählen.", "cp1252"),
        ("Книга лежит на столе у окна, и никто её не читает.", "cp1251"),
        ("Το φάρος είναι ανοιχτό κάθε μέρα.", "cp1253"),
        ("المكتبة مغلقة يوم الاثنين.", "cp1256"),
        ("ห้องสมุดปิดวันจันทร์และเปิดอีกครั้งในวันอังคาร" * 3, "cp874"),
        ("図書館は月曜日に閉まります。" * 10, "cp932"),
        ("图书馆星期一关闭。" * 10, "gb18030"),
        ("Siehe https://example.org/" + "a" * 200 + " für die Maße.", "cp1252"),
    ],
)
def test_text_in_an_older_encoding_is_read_with_a_warning(
    tmp_path: Path, text: str, encoding: str
) -> None:
    """Long lines without blanks are no reason to refuse one: some scripts write none."""
    found = document(tmp_path, text.encode(encoding), TEXT)
    assert "".join(texts(found.blocks)).replace(" ", "") == text.replace(" ", "")
    assert "encoding was guessed" in found.warnings[0]


def test_control_characters_become_spaces(tmp_path: Path) -> None:
    """No control character gets into an index or an event."""
    (page,) = read(tmp_path, b"a\x07b\x1bc\n", TEXT)
    assert page.text == "a b c"


def awaited_text(path: Path) -> str:
    """The text of a file once it is there."""
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.read_text()


_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
ENTITIES = (
    '<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise("abcdefghij"))
    + f']><w:document xmlns:w="{_WORD}"><w:body><w:p><w:r><w:t>&j;</w:t></w:r></w:p></w:body>'
    "</w:document>"
)
DEEP = (
    f'<w:document xmlns:w="{_WORD}"><w:body>{"<w:sdt>" * 3000}{"</w:sdt>" * 3000}'
    "</w:body></w:document>"
)

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
    "cut UTF-16": (b"\xff\xfeT\x00e", TEXT, "UTF-16"),
    "old Word": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, DOCX, "old Office file"),
    "workbook": (sample_files.workbook(), DOCX, "Excel workbook"),
    "binary": (b"\x00\x01\x02", TEXT, "not a text"),
    "letters without words": (b"\x80\x81\xc3\x28\xa0\xa1" * 20, TEXT, "encoding could not be told"),
    "too much text": (b"word " * 10_000_000, TEXT, "10,000,000 characters"),
    "too many bytes": (b"w" * (64 * 1024 * 1024 + 1), TEXT, "64 MiB"),
    "entity bomb": (sample_files.docx_part(ENTITIES), DOCX, "entities"),
    "deep docx": (sample_files.docx_part(DEEP), DOCX, "too deeply"),
    "deep page": (b"<div>" * 100_000 + b"x", HTML, "too deeply"),
    "deep Markdown": (b">" * 100_000 + b"x", MARKDOWN, "too deeply"),
    "many attributes": (
        b"<a " + b" ".join(b"a%d=1" % n for n in range(20_000)) + b">x",
        HTML,
        "attributes",
    ),
    "unknown type": (b"x", "image/png", "image/png"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_file_is_refused_with_a_message_for_its_owner(tmp_path: Path, name: str) -> None:
    """What cannot be read says why, in words, and never as a parser's exception."""
    raw, content_type, expected = BROKEN[name]
    with pytest.raises(Unreadable, match=expected):
        read(tmp_path, raw, content_type)


def test_file_of_too_many_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row has names and a place, which take memory beside its text."""
    monkeypatch.setattr(builder, "MOST_BLOCKS", 100)
    assert len(read(tmp_path, b"a,b,c\n" * 100, TEXT)) == 100
    with pytest.raises(Unreadable, match="too many rows"):
        read(tmp_path, b"a,b,c\n" * 101, TEXT)


async def test_child_reads_a_file_and_hands_back_its_pages(tmp_path: Path) -> None:
    """The text comes out of a process of its own as it would come here."""
    (tmp_path / "in").write_bytes(sample_files.pdf("Across a process.", ""))
    found = await read_file(tmp_path / "in", tmp_path / "out", PDF)
    assert found == read_document(tmp_path / "in", PDF)
    assert texts(found.blocks) == ["Across a process."]
    assert len(found.warnings) == 1


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
    for provoked, told in (("SEGV", "crash"), ("TRAP", "crash"), ("XCPU", "computing time")):
        monkeypatch.setattr(sandbox, "_COMMAND", ("sh", "-c", f"kill -{provoked} $$"))
        with pytest.raises(Unreadable, match=told):
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
        "lines = [{'warnings': []}, {'kind': 'code', 'text': text}];"
        "open(sys.argv[2], 'w').write('\\n'.join(map(json.dumps, lines)))"
    )
    monkeypatch.setattr(sandbox, "_COMMAND", (sys.executable, "-c", probe))
    (block,) = (await read_file(tmp_path / "in", tmp_path / "out", TEXT)).blocks
    limits, environ = json.loads(block.text)
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
    assert faults.TEXT_LIMIT_CHARS == 10_000_000
    assert faults.MARKUP_LIMIT_BYTES == 64 * 1024 * 1024
