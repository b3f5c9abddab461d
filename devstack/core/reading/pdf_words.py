"""The words of a PDF's page that can be seen, each with its place, as PDFium finds them."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pypdfium2 as pdfium  # type: ignore[import-untyped]
import pypdfium2.raw as raw  # type: ignore[import-untyped]

# PDFium puts this in place of a hyphen that divides a word at the end of a line.
_DIVIDING_HYPHEN = 2
_BETWEEN_WORDS = frozenset((0, 9, 10, 13, 32))
_SMALLEST_POINTS = 1.5
# A scan with recognised text has it invisible over a picture that fills most of the page.
_SCAN_SHARE = 0.5
_NEARLY_WHITE = 250
_BOLD = 600
_SURROGATE = re.compile("[\ud800-\udfff]")
_INVISIBLE = (raw.FPDF_TEXTRENDERMODE_INVISIBLE, raw.FPDF_TEXTRENDERMODE_CLIP)
_SHOWN_ANNOTATIONS = (raw.FPDF_ANNOT_WIDGET, raw.FPDF_ANNOT_FREETEXT)

Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True, slots=True)
class Word:
    """A word in points, with y growing upwards; ``top - bottom`` is its font's height."""

    text: str
    left: float
    bottom: float
    right: float
    top: float
    bold: bool = False

    @property
    def height(self) -> float:
        return self.top - self.bottom


@dataclass(frozen=True, slots=True)
class PageWords:
    """What is seen of a page; ``drawn`` tells whether anything at all is on it."""

    words: tuple[Word, ...]
    drawn: bool


def page_words(document: pdfium.PdfDocument, index: int) -> PageWords:
    """The words of a page, numbered from 0, with what is filled in its forms."""
    page = document[index]
    try:
        if _has_shown_annotations(page):
            page.flatten()
            page.close()
            page = document[index]
        return PageWords(tuple(_Seen(page).words()), raw.FPDFPage_CountObjects(page) > 0)
    finally:
        page.close()


def _has_shown_annotations(page: pdfium.PdfPage) -> bool:
    """Whether a form's field or a typed note is on it; their text is not in the page's own."""
    for n in range(raw.FPDFPage_GetAnnotCount(page)):
        annotation = raw.FPDFPage_GetAnnot(page, n)
        subtype = raw.FPDFAnnot_GetSubtype(annotation)
        raw.FPDFPage_CloseAnnot(annotation)
        if subtype in _SHOWN_ANNOTATIONS:
            return True
    return False


class _Seen:
    """Finds the words of one page, and leaves out those that nobody sees."""

    def __init__(self, page: pdfium.PdfPage) -> None:
        self._page = page
        self._textpage = page.get_textpage()
        self._text = self._textpage.raw
        self._turned = page.get_rotation()
        self._visible = page.get_bbox()
        self._hidden: dict[int, bool] = {}
        self._backgrounds: list[Box] | None = None
        self._box = raw.FS_RECTF()

    def words(self) -> Iterator[Word]:
        letter_at, text = raw.FPDFText_GetUnicode, self._text
        letters: list[str] = []
        start = 0
        for n in range(raw.FPDFText_CountChars(text)):
            code = letter_at(text, n)
            if code in _BETWEEN_WORDS:
                if letters:
                    yield from self._word(letters, start, n - 1)
                    letters = []
                continue
            if not letters:
                start = n
            letters.append(chr(code))
            if code == _DIVIDING_HYPHEN:
                letters[-1] = "-"
                yield from self._word(letters, start, n)
                letters = []
        if letters:
            yield from self._word(letters, start, start + len(letters) - 1)

    def _word(self, letters: list[str], first: int, last: int) -> Iterator[Word]:
        box = self._place(first)
        end = self._place(last) if last > first else box
        if box is not None and end is not None:
            box = _joined(box, end)
        if box is None or self._is_hidden(first, box):
            return
        text = "".join(letters)
        if _SURROGATE.search(text):
            # Some of PDFium's builds give UTF-16.
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        bold = raw.FPDFText_GetFontWeight(self._text, first) >= _BOLD
        yield Word(text, *_upright(box, self._turned), bold)

    def _place(self, n: int) -> Box | None:
        box = self._box
        if not raw.FPDFText_GetLooseCharBox(self._text, n, box):
            return None
        return box.left, box.bottom, box.right, box.top

    def _is_hidden(self, n: int, box: Box) -> bool:
        left, bottom, right, top = self._visible
        middle, height = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        if not (left <= middle <= right and bottom <= height <= top):
            return True
        if min(box[3] - box[1], max(box[2] - box[0], box[3] - box[1])) < _SMALLEST_POINTS:
            return True
        shown_object = raw.FPDFText_GetTextObject(self._text, n)
        key = ctypes.addressof(shown_object.contents) if shown_object else 0
        if key not in self._hidden:
            self._hidden[key] = self._is_object_hidden(shown_object, n, box)
        return self._hidden[key]

    def _is_object_hidden(self, shown_object: object, n: int, box: Box) -> bool:
        if shown_object and raw.FPDFTextObj_GetTextRenderMode(shown_object) in _INVISIBLE:
            return not self._is_scan()
        red, green, blue, alpha = (ctypes.c_uint() for _ in range(4))
        if not raw.FPDFText_GetFillColor(self._text, n, red, green, blue, alpha):
            return False
        white = min(red.value, green.value, blue.value) >= _NEARLY_WHITE
        return alpha.value == 0 or (white and not self._has_background(box))

    def _is_scan(self) -> bool:
        left, bottom, right, top = self._visible
        whole = (right - left) * (top - bottom)
        return any(
            (b[2] - b[0]) * (b[3] - b[1]) >= whole * _SCAN_SHARE
            for b in self._bounds(raw.FPDF_PAGEOBJ_IMAGE)
        )

    def _has_background(self, box: Box) -> bool:
        """Whether something is drawn where white text is, so that it can be seen."""
        if self._backgrounds is None:
            kinds = (raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_SHADING)
            self._backgrounds = list(self._bounds(*kinds))
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in self._backgrounds)

    def _bounds(self, *kinds: int) -> Iterator[Box]:
        for shown in self._page.get_objects(filter=kinds):
            yield shown.get_bounds()


def _joined(first: Box, last: Box) -> Box:
    return (
        *(min(first[0], last[0]), min(first[1], last[1])),
        *(max(first[2], last[2]), max(first[3], last[3])),
    )


def _upright(box: Box, turned: int) -> Box:
    """A box as it is seen on a page that is turned by so many degrees."""
    left, bottom, right, top = box
    match turned:
        case 90:
            return bottom, -right, top, -left
        case 180:
            return -right, -top, -left, -bottom
        case 270:
            return -top, left, -bottom, right
        case _:
            return box
