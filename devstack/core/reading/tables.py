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
    return marked or int(names_columns([row.columns for row in rows]))


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
    """Whether the first row names the columns: words, all different, above figures.

    Without figures, a table of two columns is more often a list of names with what belongs to
    each, and has no such row.
    """
    first, rest = rows[0], rows[1:]
    if not rest or len(set(first)) < len(first) or any(_DIGIT.search(cell) for cell in first):
        return False
    if sum(bool(cell) for cell in first[1:]) < len(first) - 1:
        return False
    columns = ([row[n] for row in rest if n < len(row)] for n in range(len(first)))
    return len(first) > 2 or any(map(_is_figures, columns))


def _is_figures(cells: Sequence[str]) -> bool:
    return sum(bool(_DIGIT.search(cell)) for cell in cells) * 2 > len(cells)
