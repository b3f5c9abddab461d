"""Tables: which row names the columns, and what each row's cells are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from devstack.core.reading.blocks import row_text
from devstack.core.reading.builder import DocumentBuilder

# A merged cell counts once for each column it spans, and each row repeats the columns' names, so
# both end here: nobody reads a wider table.
WIDEST = 200
_DIGIT = re.compile(r"\d")
_YEAR = re.compile(r"(?:19|20)\d\d", re.A)
_NUMBERED = re.compile(r"[^\W\d_]{1,10}\.? ?\d{1,2}")  # "Q1", "Week 12"
_FIGURE = re.compile(r"[^\w\s]?\s*\d")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell; ``names`` tells that it is marked as naming a column or a row."""

    text: str
    names: bool = False
    columns: int = 1
    rows: int = 1


@dataclass(slots=True)
class _Row:
    cells: list[Cell] = field(default_factory=list)
    in_head: bool = False


@dataclass(frozen=True, slots=True)
class _Laid:
    """A row with a text for each column, and the texts as they are seen: a merged cell once."""

    columns: tuple[str, ...]
    seen: tuple[str, ...]
    names: bool


class Table:
    """A table as it is being read."""

    def __init__(self) -> None:
        self._rows: list[_Row] = []

    def begin_row(self, *, in_head: bool = False) -> None:
        self._rows.append(_Row(in_head=in_head))

    def add(self, cell: Cell) -> None:
        if not self._rows:
            self.begin_row()
        self._rows[-1].cells.append(cell)

    def emit(self, builder: DocumentBuilder) -> None:
        """Give the builder a block for each row; a table of one column is paragraphs."""
        rows = [row for row in self._laid() if any(row.columns)]
        if max((len(row.columns) for row in rows), default=0) < 2:
            for row in rows:
                builder.paragraph(row.columns[0])
            return
        heads = _leading(rows)
        header = _named([row.columns for row in rows[:heads]])
        for row in rows[:heads]:
            builder.header(row.columns, row_text(row.seen))
        for row in rows[heads:]:
            builder.row(row.columns, header, row_text(row.seen))

    def _laid(self) -> list[_Laid]:
        spanning: dict[int, tuple[Cell, int]] = {}
        return [_lay(row, spanning) for row in self._rows]


def _lay(row: _Row, spanning: dict[int, tuple[Cell, int]]) -> _Laid:
    """Place a row's cells in columns; ``spanning`` has the cells that reach down into it."""
    columns: list[str] = []
    seen: list[str] = []
    waiting = list(reversed(row.cells))
    while waiting or len(columns) in spanning:
        place = len(columns)
        above = spanning.pop(place, None)
        cell, left = above if above else ((own := waiting.pop()), own.rows)
        width = max(1, min(cell.columns, WIDEST - place))
        if left > 1 and place < WIDEST:
            spanning[place] = (cell, left - 1)
        columns += [cell.text] * width
        seen.append(cell.text)
    names = row.in_head or (bool(row.cells) and all(cell.names for cell in row.cells))
    return _Laid(tuple(columns), tuple(seen), names)


def _leading(rows: Sequence[_Laid]) -> int:
    """How many rows at the top name the columns: those marked so, or one that looks like it."""
    marked = next((n for n, row in enumerate(rows) if not row.names), len(rows))
    if marked == len(rows):
        return 0
    if marked:
        return marked
    columns = [row.columns for row in rows]
    # A merged cell on top names several columns, which the row below it tells apart.
    if len(rows[0].seen) < len(rows[0].columns) and names_columns(columns[1:]):
        return 2
    return int(names_columns(columns))


def _named(heads: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """What each column is called; in two rows of names, by both: "2024 June"."""
    width = max((len(head) for head in heads), default=0)
    if width > WIDEST:
        return ()
    names = []
    for place in range(width):
        parts = dict.fromkeys(head[place] for head in heads if place < len(head))
        names.append(" ".join(part for part in parts if part))
    return tuple(names)


def names_columns(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns: words or years, all different, above figures.

    Without figures, a table of two columns is more often a list of names with what belongs to
    each, and has no such row.
    """
    if len(rows) < 2 or len(set(rows[0])) < len(rows[0]) or not all(rows[0][1:]):
        return False
    columns = [[row[n] for row in rows[1:] if n < len(row)] for n in range(len(rows[0]))]
    if not all(map(_can_name, rows[0], columns)):
        return False
    return len(rows[0]) > 2 or any(map(_is_figures, columns))


def _can_name(cell: str, below: Sequence[str]) -> bool:
    """Whether a cell can be a column's name: no figure, and not of a kind with those below."""
    if not _DIGIT.search(cell):
        return True
    if _YEAR.fullmatch(cell):
        return _is_figures(below) and not all(map(_YEAR.fullmatch, below))
    return _NUMBERED.fullmatch(cell) is not None and _is_figures(below)


def _is_figures(cells: Sequence[str]) -> bool:
    """Whether most of the cells that are filled are figures, as "10", "-3 %" or "€ 40"."""
    filled = [cell for cell in cells if cell]
    return sum(_FIGURE.match(cell) is not None for cell in filled) * 2 > len(filled)
