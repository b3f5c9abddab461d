"""What a file is that is not what it was announced as, in its owner's words."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

_HEAD_BYTES = 4096
# OLE, the container of old Office files, and of new ones that have a password.
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_BEGINNINGS = (
    (b"%PDF-", "a PDF"),
    (b"{\\rtf", "a Rich Text document (.rtf)"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89PNG", "a picture (.png)"),
    (b"\xff\xd8\xff", "a picture (.jpg)"),
    (b"GIF8", "a picture (.gif)"),
    (b"<!doctype html", "a web page (.html)"),
    (b"<html", "a web page (.html)"),
    (b"\x1f\x8b", "a compressed file (.gz)"),
)
_PARTS = (
    ("xl/", "an Excel workbook (.xlsx)"),
    ("ppt/", "a PowerPoint presentation (.pptx)"),
    ("word/", "a Word document without a main part"),
    ("META-INF/container.xml", "an e-book (.epub)"),
    ("mimetype", "an OpenDocument file (.odt)"),
)


def announced_wrongly(path: Path, announced: str, parts: Collection[str] = ()) -> str:
    """A sentence that says what a file is not, and what it seems to be; ``parts`` of a zip."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        encrypted = head.startswith(_OLE) and _ENCRYPTED in head + file.read(1024 * 1024)
    if encrypted:
        return "The document is protected with a password. Upload it without one."
    known = _of_parts(parts) or _of_beginning(head)
    seems = f"; it seems to be {known}" if known else ""
    return f"The file is not {announced}, although it was announced as one{seems}."


def _of_parts(parts: Collection[str]) -> str | None:
    return next(
        (kind for start, kind in _PARTS if any(name.startswith(start) for name in parts)), None
    )


def _of_beginning(head: bytes) -> str | None:
    if head.startswith(_OLE):
        return "an old Office file (.doc, .xls); save it in the newer format"
    start = head.lstrip()[:32].lower()
    return next((kind for mark, kind in _BEGINNINGS if start.startswith(mark.lower())), None)
