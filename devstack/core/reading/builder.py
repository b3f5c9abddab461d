"""Collects a document's blocks as a reader finds them, and gives each its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from devstack.core.reading.blocks import Block, Kind, ReadDocument, row_text
from devstack.core.reading.faults import (
    MOST_BLOCKS,
    TEXT_LIMIT_CHARS,
    too_many_blocks,
    too_much_text,
)

MOST_WARNINGS = 20
LONGEST_LEAD_IN = 300
LONGEST_HEADING = 500

# A form feed and a vertical tab are white space; no other control character means anything.
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]"
)
_SENTENCE_END = re.compile(r"[.!?。！？।؟۔]\s*")


def printable(text: str) -> str:
    """A text with spaces in place of control characters."""
    return _UNPRINTABLE.sub(" ", text)


class DocumentBuilder:
    """The blocks so far. Set ``page`` before the blocks of a page are added.

    Each method raises Unreadable when the document has more text than is allowed.
    """

    def __init__(self, title: str = "") -> None:
        self.page: int | None = None
        self._blocks: list[Block] = []
        self._warnings: list[str] = []
        self._headings: list[tuple[int, str]] = []
        self._lead_in = ""
        self._left = TEXT_LIMIT_CHARS
        self._title = printable(title)

    @property
    def title(self) -> str:
        """The document's own; every section stands below it."""
        return self._title

    @title.setter
    def title(self, text: str) -> None:
        self._title = printable(text)

    def heading(self, text: str, level: int) -> None:
        """A heading, and the section that begins with it; ``level`` from 1."""
        text = printable(text).strip()[:LONGEST_HEADING]
        if not text:
            return
        self._headings = [entry for entry in self._headings if entry[0] < level]
        self._headings.append((level, text))
        self._add(Kind.HEADING, text, level=level)

    def paragraph(self, text: str, kind: Kind = Kind.PARAGRAPH) -> None:
        """A paragraph, a quotation, or code, whose white space is kept."""
        text = printable(text)
        text = text.strip("\n") if kind is Kind.CODE else text.strip()
        if text.strip():
            self._add(kind, text)
            if kind is Kind.PARAGRAPH:
                self._lead_in = _lead_in(text)

    def item(self, text: str, level: int = 1) -> None:
        """A list's item; its lead-in is the paragraph in front of the list."""
        text, lead_in = printable(text).strip(), self._lead_in
        if text:
            self._add(Kind.LIST_ITEM, text, level=level, lead_in=lead_in)
            self._lead_in = lead_in

    def end_list(self) -> None:
        """A list ends here: the next one has another lead-in, or none."""
        self._lead_in = ""

    def header(self, cells: Sequence[str], text: str | None = None) -> None:
        """The row that names a table's columns."""
        self._row(Kind.TABLE_HEADER, cells, text)

    def row(
        self, cells: Sequence[str], header: Sequence[str] = (), text: str | None = None
    ) -> None:
        """A table's row; ``text`` is given where the file has one of its own."""
        self._row(Kind.TABLE_ROW, cells, text, header)

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """What is added inside stands in a section of that name, which has no heading."""
        before = list(self._headings)
        if name := printable(name).strip():
            self._headings.append((len(before) + 1, name[:LONGEST_HEADING]))
        try:
            yield
        finally:
            self._headings = before

    def warn(self, sentence: str) -> None:
        """Tell the owner of something that was not read."""
        if len(self._warnings) < MOST_WARNINGS:
            self._warnings.append(sentence)

    def done(self) -> ReadDocument:
        """The document as read."""
        return ReadDocument(tuple(self._blocks), tuple(self._warnings))

    def _row(
        self, kind: Kind, cells: Sequence[str], text: str | None, header: Sequence[str] = ()
    ) -> None:
        kept = tuple(printable(cell).strip() for cell in cells)
        if any(kept):
            shown = row_text(kept) if text is None else printable(text).strip()
            names = tuple(printable(name).strip() for name in header)
            self._add(kind, shown, cells=kept, header=names)

    def _add(
        self,
        kind: Kind,
        text: str,
        level: int = 0,
        cells: tuple[str, ...] = (),
        header: tuple[str, ...] = (),
        lead_in: str = "",
    ) -> None:
        self._left -= len(text)
        if self._left < 0:
            raise too_much_text()
        if len(self._blocks) >= MOST_BLOCKS:
            raise too_many_blocks()
        place = self.page, self._section(), len(self._blocks)
        self._blocks.append(Block(kind, text, *place, level, cells, header, lead_in))
        self._lead_in = ""

    def _section(self) -> tuple[str, ...]:
        path = tuple(text for _, text in self._headings)
        return path if not self.title or self.title in path else (self.title, *path)


def _lead_in(paragraph: str) -> str:
    """What of a paragraph introduces a list behind it: all of it, or its last sentence."""
    if len(paragraph) <= LONGEST_LEAD_IN:
        return paragraph
    tail = paragraph[-LONGEST_LEAD_IN:]
    ends = list(_SENTENCE_END.finditer(tail, 0, len(tail) - 1))
    return tail[ends[-1].end() :].strip() if ends else ""
