"""The formats the core can read, each a function from a file to the document in it.

A file that cannot be read raises :class:`Unreadable`, whose message is shown to the user.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from devstack.core.reading.blocks import ReadDocument
from devstack.core.reading.faults import Unreadable

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"

# Module and function: a library is loaded for the format that needs it, and for no other.
_READERS = {
    PDF: ("pdf", "read_pdf"),
    DOCX: ("docx", "read_docx"),
    HTML: ("html", "read_html"),
    "application/xhtml+xml": ("html", "read_html"),
    MARKDOWN: ("markdown", "read_markdown"),
    "text/x-markdown": ("markdown", "read_markdown"),
    TEXT: ("plain", "read_text"),
}

_NO_TEXT = {
    PDF: "The PDF has no text in it: it looks like a scan. Run text recognition (OCR) on it first.",
}


def read_document(path: Path, content_type: str) -> ReadDocument:
    """What is in a file.

    Raises:
        Unreadable: with a message for the user.
    """
    media_type = content_type.split(";")[0].strip().lower()
    if media_type not in _READERS:
        raise Unreadable(f"Files of the type {media_type} cannot be read.")
    if path.stat().st_size == 0:
        raise Unreadable("The file is empty.")
    document = _reader(media_type)(path)
    if not document.blocks:
        raise Unreadable(_NO_TEXT.get(media_type, "The file has no text in it."))
    return document


def _reader(media_type: str) -> Callable[[Path], ReadDocument]:
    module, name = _READERS[media_type]
    reader: Callable[[Path], ReadDocument] = getattr(
        import_module(f"devstack.core.reading.{module}"), name
    )
    return reader
