"""PDF: pages by PDFium, put in reading order by where the words stand; else by pypdf.

pypdf reads what PDFium refuses, page by page and in the order of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pypdfium2 as pdfium  # type: ignore[import-untyped]
from pypdf import PdfReader
from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

from devstack.core.reading import progress
from devstack.core.reading.blocks import ReadDocument
from devstack.core.reading.builder import DocumentBuilder
from devstack.core.reading.faults import Unreadable
from devstack.core.reading.pdf_layout import Grid, Paragraph, Piece, pieces
from devstack.core.reading.pdf_words import page_words
from devstack.core.reading.plain import add_lines, item_mark
from devstack.core.reading.signatures import announced_wrongly
from devstack.core.reading.tables import names_columns

# Some programs put a mail's or an answer's head in front of the file.
_BEGINS_WITHIN = 64 * 1024
_HEADING_HEIGHT = 1.12
LONGEST_HEADING_CHARS = 150
_HEADING_LEVELS = 5


def read_pdf(path: Path) -> ReadDocument:
    """The blocks of a PDF, and which of its pages have no text in them.

    Raises:
        Unreadable: with a message for the user.
    """
    data = path.read_bytes()
    begin = data.find(b"%PDF-", 0, _BEGINS_WITHIN)
    if begin < 0:
        raise Unreadable(announced_wrongly(path, "a PDF"))
    document = _opened(data[begin:] if begin else data)
    if document is None:
        return _by_pypdf(path)
    with document:
        return _read(document)


def _opened(data: bytes) -> pdfium.PdfDocument | None:
    try:
        document = pdfium.PdfDocument(data)
        document.init_forms()
    except pdfium.PdfiumError:
        return None  # a password, or damage; pypdf tells which, or reads it
    return document


def _read(document: pdfium.PdfDocument) -> ReadDocument:
    builder = DocumentBuilder()
    empty: list[int] = []
    pages: list[list[Piece]] = []
    for index in range(len(document)):
        progress.tell(index, len(document))
        try:
            page = page_words(document, index)
        except pdfium.PdfiumError:
            empty.append(index + 1)
            pages.append([])
            continue
        pages.append(list(pieces(page.words)))
        if page.drawn and not page.words:
            empty.append(index + 1)
    levels = _heading_levels(pages)
    for number, page_pieces in enumerate(pages, start=1):
        builder.page = number
        for piece in page_pieces:
            _add(builder, piece, levels)
    return _done(builder, empty, len(pages))


def _heading_levels(pages: Sequence[Sequence[Piece]]) -> dict[int, int]:
    """The heading level of each height of letters that is above that of most of the text."""
    heights: Counter[int] = Counter()
    for piece in (piece for page in pages for piece in page):
        if isinstance(piece, Paragraph):
            heights[_rounded(piece.height)] += sum(map(len, piece.lines))
    if not heights:
        return {}
    usual = heights.most_common(1)[0][0]
    larger = sorted((h for h in heights if h > usual * _HEADING_HEIGHT), reverse=True)
    return {height: min(n, _HEADING_LEVELS) for n, height in enumerate(larger, start=1)}


def _rounded(height: float) -> int:
    return round(height * 2)


def _add(builder: DocumentBuilder, piece: Piece, levels: dict[int, int]) -> None:
    if isinstance(piece, Grid):
        _add_table(builder, piece)
        return
    text = piece.text
    mark = item_mark(text)
    level = levels.get(_rounded(piece.height))
    short = len(text) <= LONGEST_HEADING_CHARS and len(piece.lines) <= 3
    if short and level is not None:
        builder.heading(text, level)
    elif short and piece.bold and not text.endswith((".", ",", ";", ":")) and mark is None:
        builder.heading(text, _HEADING_LEVELS + 1)
    elif mark is not None:
        builder.item(text if mark["number"] else text[mark.end() :])
    else:
        builder.paragraph(text)


def _add_table(builder: DocumentBuilder, grid: Grid) -> None:
    named = names_columns(grid.rows)
    header = grid.rows[0] if named else ()
    if named:
        builder.header(header)
    for row in grid.rows[int(named) :]:
        builder.row(row, header)


def _done(builder: DocumentBuilder, empty: Sequence[int], pages: int) -> ReadDocument:
    if empty and len(empty) < pages:
        several = len(empty) > 1
        have, it = ("they have", "them") if several else ("it has", "it")
        builder.warn(
            f"{'Pages' if several else 'Page'} {_numbers(empty)} of {pages:,} could not be read:"
            f" {have} no text layer. Run text recognition (OCR) on {it}."
        )
    return builder.done()


def _numbers(pages: Sequence[int]) -> str:
    """Page numbers in words: "2, 5–7 and 9"."""
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][1] + 1:
            runs[-1][1] = page
        else:
            runs.append([page, page])
    shown = [str(a) if a == b else f"{a}–{b}" for a, b in runs]
    if len(shown) > 20:
        shown = [*shown[:20], "others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _by_pypdf(path: Path) -> ReadDocument:
    builder = DocumentBuilder()
    empty = []
    number = 0
    for number, text in enumerate(_pypdf_pages(path), start=1):
        builder.page = number
        if text.strip():
            add_lines(builder, text)
        else:
            empty.append(number)
    return _done(builder, empty, number)


def _pypdf_pages(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        try:
            document = PdfReader(file)
            if document.is_encrypted and not document.decrypt(""):
                raise Unreadable("The PDF is protected with a password. Upload it without one.")
            for page in document.pages:
                yield page.extract_text()
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
