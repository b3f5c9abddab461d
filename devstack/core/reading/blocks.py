"""What reading a file gives: its blocks, each with its place, and what could not be read.

Every reader gives this one structure, and everything behind it (splitting, the index, answers)
knows no format. A table becomes one block a row, a list one an item::

    Block(HEADING,      "Price list",             section=("Price list",), level=1)
    Block(TABLE_HEADER, "Product · Price",        cells=("Product", "Price"))
    Block(TABLE_ROW,    "Bellows · 95 EUR",       cells=("Bellows", "95 EUR"),
                                                  header=("Product", "Price"))
    Block(PARAGRAPH,    "Bring with you:")
    Block(LIST_ITEM,    "1. your passport",       lead_in="Bring with you:", level=1)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# Between two cells of a row's text, and in place of a cell with nothing in it: without it the
# figures of a row would move under other headings.
CELL_MARK = " · "
EMPTY_CELL = "(empty)"


class Kind(StrEnum):
    """What a block is."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE_HEADER = "table_header"
    TABLE_ROW = "table_row"
    CODE = "code"
    QUOTATION = "quotation"


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a document, as a reader of the file would see it.

    ``text`` has the file's own characters; only white space that means nothing in its format is
    reduced. A row's text is its cells with ``CELL_MARK`` between them, ``EMPTY_CELL`` for an empty
    one; a numbered item's begins with its number. ``page`` counts from 1, None where a format has
    no pages. ``section`` is the path of headings it stands under, outermost first; a heading is
    the last entry of its own path. ``position`` is its place in the document, from 0; the parts of
    a block that was too long share it. ``level`` is the depth of a heading or a list item, from 1.
    ``cells`` are a row's, empty ones kept as "", ``header`` those of the row that names the
    columns, () when there is none. ``lead_in`` is the paragraph that introduces a list.
    """

    kind: Kind
    text: str
    page: int | None = None
    section: tuple[str, ...] = ()
    position: int = 0
    level: int = 0
    cells: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    lead_in: str = ""


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """What was read of a file, in reading order, and a sentence for each thing that was not.

    A warning is for the file's owner: "Page 2 could not be read: it has no text in it.".
    """

    blocks: tuple[Block, ...]
    warnings: tuple[str, ...] = ()


def row_text(cells: tuple[str, ...]) -> str:
    """The text of a table's row."""
    return CELL_MARK.join(cell or EMPTY_CELL for cell in cells)


_DEFAULTS = Block(Kind.PARAGRAPH, "")
_TUPLES = ("section", "cells", "header")


def to_json(block: Block) -> dict[str, Any]:
    """A block as JSON has it, without the fields that say nothing."""
    fields = {name: getattr(block, name) for name in Block.__slots__}
    return {
        name: list(value) if name in _TUPLES else value
        for name, value in fields.items()
        if name == "kind" or value != getattr(_DEFAULTS, name)
    }


def from_json(fields: Mapping[str, Any]) -> Block:
    """The block that :func:`to_json` was given."""
    known: dict[str, Any] = {
        name: tuple(value) if name in _TUPLES else value
        for name, value in fields.items()
        if name != "kind"
    }
    return Block(kind=Kind(fields["kind"]), **{"text": "", **known})
