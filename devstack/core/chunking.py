"""From blocks to chunks: what belongs together is found and cited together.

A chunk holds blocks of one page and one section, up to a size. A heading begins one and stays with
what follows it; the rows of a table and the items of a list keep their header and their lead-in,
which are repeated where a chunk begins in the middle. Rows, items and code stay whole, and long
paragraphs are divided between sentences.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace

from devstack.core.answering.sentences import spans
from devstack.core.chunks import Chunk
from devstack.core.reading.blocks import Block, Kind, ReadDocument
from devstack.core.reading.nodes import Passage

CHUNK_TOKENS = 220
# What should stay whole (a sentence, a row, code) may be so much longer before it is cut.
WHOLE_TOKENS = 4 * CHUNK_TOKENS

# Counting tokens needs no model: a token is up to eight letters, which also bounds a chunk of one
# endless word, or one letter of a script that is written without spaces.
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|\w{1,8}|[^\w\s]")
_LETTERS_PER_TOKEN = 8
_WHOLE = frozenset((Kind.HEADING, Kind.TABLE_HEADER, Kind.TABLE_ROW, Kind.CODE))


class Stopped(Exception):
    """The stop event was set; the work done so far is discarded."""


def split(document_id: str, document: ReadDocument, stop: threading.Event) -> list[Chunk]:
    """A document's chunks, numbered from 0.

    Raises:
        Stopped: when ``stop`` was set meanwhile.
    """
    packer = _Packer()
    passages: list[Passage] = []
    for block in document.blocks:
        if stop.is_set():
            raise Stopped
        for part in _parts(block):
            passages += packer.add(part)
    passages += packer.flush()
    return [Chunk(document_id, n, passage) for n, passage in enumerate(passages)]


class _Packer:
    """Puts blocks together as they come."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._tokens = 0
        self._headers: list[Block] = []

    def add(self, block: Block) -> Iterator[Passage]:
        """Take a block; the passage that it ends, if it ends one."""
        tokens = _tokens(block.text)
        if self._ends_before(block, tokens):
            yield from self.flush()
            self._repeat_for(block)
        self._note_header(block)
        self._append(block, tokens)

    def flush(self) -> Iterator[Passage]:
        """What is left."""
        if self._blocks:
            yield Passage(tuple(self._blocks))
        self._blocks, self._tokens = [], 0

    def _append(self, block: Block, tokens: int) -> None:
        self._blocks.append(block)
        self._tokens += tokens

    def _ends_before(self, block: Block, tokens: int) -> bool:
        if not self._blocks:
            return False
        last = self._blocks[-1]
        if last.kind is Kind.HEADING:
            return self._tokens > CHUNK_TOKENS
        return (
            block.kind is Kind.HEADING
            or (block.page, block.section) != (last.page, last.section)
            or self._tokens + tokens > CHUNK_TOKENS
        )

    def _note_header(self, block: Block) -> None:
        """Remember the rows that name the columns of the table that the block is in."""
        if block.kind is Kind.TABLE_HEADER:
            begins = not self._blocks or self._blocks[-1].kind is not Kind.TABLE_HEADER
            self._headers = [block] if begins else [*self._headers, block]
        elif block.kind is not Kind.TABLE_ROW:
            self._headers = []

    def _repeat_for(self, block: Block) -> None:
        """Begin with what names a row's columns, or introduces an item."""
        repeated: Sequence[Block] = ()
        if block.kind is Kind.TABLE_ROW and block.header:
            repeated = self._headers
        elif block.kind is Kind.LIST_ITEM and block.lead_in:
            repeated = (Block(Kind.PARAGRAPH, block.lead_in, position=block.position),)
        for one in repeated:
            own = replace(one, page=block.page, section=block.section)
            self._append(own, _tokens(own.text))


def _parts(block: Block) -> Iterator[Block]:
    """A block, or the parts of one that is too long."""
    limit = WHOLE_TOKENS if block.kind in _WHOLE else CHUNK_TOKENS
    if _tokens(block.text) <= limit:
        yield block
        return
    units = _lines(block.text) if block.kind in _WHOLE else spans(block.text)
    for start, end in _packed(block.text, units, limit):
        yield replace(block, text=block.text[start:end])


def _tokens(text: str) -> int:
    return len(_TOKEN.findall(text))


def _lines(text: str) -> Iterator[tuple[int, int]]:
    for line in re.finditer(r"[^\n]+", text):
        yield line.span()


def _packed(
    text: str, units: Sequence[tuple[int, int]] | Iterator[tuple[int, int]], limit: int
) -> Iterator[tuple[int, int]]:
    """Neighbouring units together up to the limit; one beyond what may be whole is cut."""
    begin = behind = count = 0
    for start, end in (piece for unit in units for piece in _cut(text, *unit)):
        tokens = _tokens(text[start:end])
        if behind > begin and count + tokens > limit:
            yield begin, behind
            begin, count = start, 0
        elif behind == begin:
            begin = start
        behind, count = end, count + tokens
    if behind > begin:
        yield begin, behind


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A piece that is too long to stay whole, cut at a line's end or a space where it has one."""
    longest = WHOLE_TOKENS * _LETTERS_PER_TOKEN // 2
    while end - start > longest:
        middle = _boundary(text, start, start + longest)
        yield start, middle
        start = middle
    if start < end:
        yield start, end


def _boundary(text: str, start: int, end: int) -> int:
    for mark in ("\n", "; ", ", ", " "):
        found = text.rfind(mark, start + 1, end)
        if found > start + (end - start) // 2:
            return found + len(mark)
    # A letter keeps its marks.
    while end > start + 1 and unicodedata.category(text[end])[0] in "MC":
        end -= 1
    return end
