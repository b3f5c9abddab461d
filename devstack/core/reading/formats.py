"""The formats the core can read, each a function from a file to the text of its pages.

A file that cannot be read raises :class:`Unreadable`, whose message is shown to the user.
"""

from __future__ import annotations

import codecs
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

from devstack.core.reading.pages import Page

TEXT_LIMIT_CHARS = 10_000_000
UNPACKED_LIMIT_BYTES = 200 * 1024 * 1024
# Office XML packs about 10:1; a bomb packs 1000:1. Small parts may be anything.
PACKING_LIMIT = 200
PACKING_FREE_BYTES = 1024 * 1024
MARKUP_LIMIT_BYTES = 64 * 1024 * 1024
DOCX_PARTS_LIMIT = 5_000

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
HTML = "text/html"
MARKDOWN = "text/markdown"
TEXT = "text/plain"

_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.I
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Unreadable(Exception):
    """The file cannot be read and a retry would not help; the message is for its owner."""


def read_pages(path: Path, content_type: str) -> list[Page]:
    """The text of a file's pages; empty pages are left out.

    Raises:
        Unreadable: with a message for the user.
    """
    media_type = content_type.split(";")[0].strip().lower()
    reader = _READERS.get(media_type)
    if reader is None:
        raise Unreadable(f"Files of the type {media_type} cannot be read.")
    if path.stat().st_size == 0:
        raise Unreadable("The file is empty.")
    pages = list(_within_limit(reader(path)))
    if not pages:
        raise Unreadable(_NO_TEXT.get(media_type, "The file has no text in it."))
    return pages


def _within_limit(pages: Iterable[Page]) -> Iterator[Page]:
    left = TEXT_LIMIT_CHARS
    for page in pages:
        text = _UNPRINTABLE.sub(" ", page.text)
        left -= len(text)
        if left < 0:
            raise Unreadable(
                f"The file has too much text: more than {TEXT_LIMIT_CHARS:,} characters."
                " Split it into several files."
            )
        if text.strip():
            yield Page(page.number, text)


# PDF


def _pdf(path: Path) -> Iterator[Page]:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

    with path.open("rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise Unreadable("The file is not a PDF, although it was announced as one.")
        try:
            document = PdfReader(file)
            if document.is_encrypted and not document.decrypt(""):
                raise Unreadable("The PDF is protected with a password. Upload it without one.")
            for number, page in enumerate(document.pages, start=1):
                yield Page(number, page.extract_text())
        except (Unreadable, GeneratorExit, MemoryError):
            raise
        except LimitReachedError as fault:
            raise Unreadable("The PDF unpacks to far more than is allowed.") from fault
        except DependencyError as fault:
            raise Unreadable("The PDF is encrypted in a way that cannot be read.") from fault
        except PyPdfError as fault:
            raise Unreadable("The PDF is damaged and cannot be read.") from fault
        except Exception as fault:
            # pypdf lets any built-in exception through on damaged files; what they share is that
            # this file cannot be read.
            raise Unreadable("The PDF is damaged and cannot be read.") from fault


# DOCX


def _docx(path: Path) -> Iterator[Page]:
    from docx import Document
    from docx.oxml.ns import qn
    from docx.table import Table
    from docx.text.paragraph import Paragraph

    package = _unpacked_docx(path)
    try:
        document = Document(package)
        blocks = []
        for element in document.element.body.iterchildren():
            if element.tag == qn("w:p"):
                blocks.append(Paragraph(element, document).text)
            elif element.tag == qn("w:tbl"):
                blocks.extend(_rows(Table(element, document)))
    except MemoryError:
        raise
    except Exception as fault:
        raise Unreadable("The Word document is damaged and cannot be read.") from fault
    yield Page(None, "\n\n".join(block for block in blocks if block.strip()))


def _rows(table: object) -> list[str]:
    rows = []
    for row in table.rows:  # type: ignore[attr-defined]
        cells = dict.fromkeys(cell.text.strip() for cell in row.cells)  # merged ones come twice
        rows.append(" | ".join(cell for cell in cells if cell))
    return rows


def _unpacked_docx(path: Path) -> io.BytesIO:
    """The same package with nothing compressed in it, unpacked under limits.

    The sizes in a zip's directory are checked but not trusted: the unpacked bytes are counted too.
    The word processor's library then gets a package that cannot unpack to anything larger.
    """
    if not zipfile.is_zipfile(path):
        raise Unreadable("The file is not a Word document (.docx), although announced as one.")
    try:
        with zipfile.ZipFile(path) as packed:
            infos = packed.infolist()
            _check_directory(infos)
            return _repack(packed, infos)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as fault:
        raise Unreadable("The Word document is damaged or encrypted and cannot be read.") from fault
    except ValueError as fault:
        raise Unreadable("The Word document is damaged and cannot be read.") from fault


def _check_directory(infos: list[zipfile.ZipInfo]) -> None:
    names = {info.filename for info in infos}
    if "[Content_Types].xml" not in names or "word/document.xml" not in names:
        raise Unreadable("The file is not a Word document (.docx), although announced as one.")
    if len(infos) > DOCX_PARTS_LIMIT or sum(i.file_size for i in infos) > UNPACKED_LIMIT_BYTES:
        raise _bomb()
    for info in infos:
        if info.file_size > PACKING_FREE_BYTES + PACKING_LIMIT * info.compress_size:
            raise _bomb()


def _repack(packed: zipfile.ZipFile, infos: list[zipfile.ZipInfo]) -> io.BytesIO:
    out = io.BytesIO()
    left = UNPACKED_LIMIT_BYTES
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as stored:
        for info in {info.filename: info for info in infos}.values():
            if not info.filename.endswith((".xml", ".rels")):
                # Pictures and embedded files hold no text; they stay as names without content,
                # for the document's relationships point to them.
                stored.writestr(info.filename, b"")
                continue
            limit = min(left, PACKING_FREE_BYTES + PACKING_LIMIT * info.compress_size)
            with packed.open(info) as part:
                data = part.read(limit + 1)
            if len(data) > limit:
                raise _bomb()
            left -= len(data)
            stored.writestr(info.filename, data)
    out.seek(0)
    return out


def _bomb() -> Unreadable:
    limit = UNPACKED_LIMIT_BYTES // (1024 * 1024)
    return Unreadable(
        "The Word document unpacks to far more than its size (a limit is"
        f" {limit} MiB), as an archive bomb does. It was not read."
    )


# HTML, Markdown, text


def _html(path: Path) -> Iterator[Page]:
    raw = _bounded_bytes(path)
    charset = _META_CHARSET.search(raw[:2048])
    parser = _VisibleText()
    parser.feed(_decode(raw, charset.group(1).decode("ascii") if charset else "utf-8"))
    parser.close()
    yield Page(None, parser.text())


class _VisibleText(HTMLParser):
    """Collects what a page shows: a block is a paragraph, white space in it is one space."""

    _HIDDEN = frozenset(("script", "style", "template", "noscript", "head"))
    _INLINE = frozenset(
        """a abbr b bdi bdo big cite code data del dfn em font i ins kbd label mark q ruby s samp
        small span strike strong sub sup time tt u var wbr img""".split()  # noqa: SIM905
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._hidden: list[str] = []
        self._parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":
            self._hidden.clear()  # a head need not be closed
        elif tag in self._HIDDEN:
            self._hidden.append(tag)
        self._end_block(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            del self._hidden[self._hidden.index(tag) :]
        self._end_block(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._parts.append(data.replace("\x00", " "))

    def _end_block(self, tag: str) -> None:
        if tag not in self._INLINE:
            self._parts.append("\x00")

    def text(self) -> str:
        """The paragraphs, an empty line between them."""
        blocks = (" ".join(block.split()) for block in "".join(self._parts).split("\x00"))
        return "\n\n".join(block for block in blocks if block)


def _markdown(path: Path) -> Iterator[Page]:
    text = _decode(_bounded_bytes(path), "utf-8")
    text = "\n".join(_unmarked(line) for line in text.splitlines())
    text = re.sub(r"!?\[([^\[\]\n]{0,300})\]\([^()\n]{0,2000}\)", r"\1", text)
    text = re.sub(r"(\*\*|__|`)(?=\S)([^\n*_`]{1,300})(?<=\S)\1", r"\2", text)
    yield Page(None, text)


_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,3}[.)])[ \t]+(?=\S)")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+")


def _unmarked(line: str) -> str:
    """A line without its heading's, list's or fence's mark; a marked one is its own paragraph."""
    if line.startswith(("```", "~~~")):
        return ""
    if heading := _HEADING.match(line):
        return f"\n{line[heading.end() :].rstrip().rstrip('#').rstrip()}\n"
    if item := _LIST_ITEM.match(line):
        return f"\n{line[item.end() :]}"
    return line


def _text(path: Path) -> Iterator[Page]:
    yield Page(None, _decode(_bounded_bytes(path), "utf-8"))


def _bounded_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        raw = file.read(MARKUP_LIMIT_BYTES + 1)
    if len(raw) > MARKUP_LIMIT_BYTES:
        raise Unreadable(
            f"The file is too large to read as text: more than {MARKUP_LIMIT_BYTES // 1024**2} MiB."
        )
    return raw


def _decode(raw: bytes, encoding: str) -> str:
    for bom, name in _BOMS:
        if raw.startswith(bom):
            encoding = name
            break
    try:
        text = raw.decode(encoding)
    except (UnicodeError, LookupError) as fault:
        raise Unreadable(
            f"The text cannot be decoded as {encoding.removesuffix('-sig').upper()}."
            " Save it as UTF-8 and upload it again."
        ) from fault
    if "\x00" in text:
        raise Unreadable("The file is not a text, although it was announced as one.")
    return text


_READERS: dict[str, Callable[[Path], Iterator[Page]]] = {
    PDF: _pdf,
    DOCX: _docx,
    HTML: _html,
    "application/xhtml+xml": _html,
    MARKDOWN: _markdown,
    "text/x-markdown": _markdown,
    TEXT: _text,
}

_NO_TEXT = {
    PDF: "The PDF has no text in it: it looks like a scan. Run text recognition (OCR) on it first.",
}
