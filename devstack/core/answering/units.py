"""What can be quoted of the passages found: a sentence, a row, an item, a whole list.

A unit is a piece of a passage's text, and knows which words stand in it and which stand around it:
the question it answers, the headings above it, the header of its table, its neighbours. What stands
around it tells what it is about, but is no answer itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from devstack.core.answering.sentences import is_finished, is_question, refers, spans
from devstack.core.finding.passages import context_of, name_of
from devstack.core.finding.words import entries
from devstack.core.index import Hit
from devstack.core.reading.blocks import CELL_MARK, EMPTY_CELL, Block, Kind

Words = frozenset[str]
NONE: Words = frozenset()
# A list or a table is quoted whole up to here.
LONGEST_WHOLE = 1_200
# So much of a paragraph is quoted when only what stands above it matches.
LONGEST_PARAGRAPH = 700


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of source ``source``, from ``start`` up to ``end`` of its text, in code points.

    ``own`` are the entries of its words, ``asked`` those of the question it stands under,
    ``above`` those of headings, table header and lead-in, ``near`` those of the sentence before,
    ``named`` those of the file's name. ``lead`` is shown in front of it: a row's header.
    ``rest`` is the end of the paragraph that it is a part of. ``refers``: it speaks of what the
    sentence before it named.
    """

    source: int
    start: int
    end: int
    own: Words
    asked: Words = NONE
    above: Words = NONE
    near: Words = NONE
    named: Words = NONE
    lead: str = ""
    rest: int = 0
    finished: bool = True
    refers: bool = False
    heading: bool = False


@dataclass(slots=True)
class _Around:
    """What stands around the units of one passage, as it is read from top to bottom."""

    source: int
    hit: Hit
    asked: Words = NONE
    near: Words = NONE
    named: Words = field(default=NONE)

    def words(self, *texts: str) -> Words:
        return frozenset(entry for text in texts for entry in entries(text, self.hit.language))


def units(hits: Sequence[Hit]) -> list[Unit]:
    """Everything that can be quoted, in the order of the passages; no text twice."""
    found: dict[tuple[str, ...], Unit] = {}
    for source, hit in enumerate(hits):
        for unit in _units(source, hit):
            # Passages overlap, so pieces come twice.
            text = hit.text[unit.start : unit.end]
            found.setdefault((*hit.section, unit.lead, " ".join(text.split())), unit)
    return list(found.values())


def _units(source: int, hit: Hit) -> Iterator[Unit]:
    around = _Around(source, hit)
    around.named = around.words(name_of(hit.filename))
    for section in hit.section:
        if is_question(section):
            around.asked = around.words(section)
    blocks = hit.blocks or (Block(Kind.PARAGRAPH, hit.text),)
    located = list(_located(blocks))
    for whole, run in groupby(located, key=lambda one: _runs(one[1])):
        group = list(run)
        if whole:
            yield from _whole(around, group)
        for start, block in group:
            yield from _of_block(around, start, block, _following(located, start, block))


def _located(blocks: Sequence[Block]) -> Iterator[tuple[int, Block]]:
    """Each block with where it begins in the passage's text."""
    start = 0
    for block in blocks:
        yield start, block
        start += len(block.text) + 1


def _runs(block: Block) -> str:
    """Rows and items belong together with those next to them."""
    return block.kind if block.kind in (Kind.LIST_ITEM, Kind.TABLE_ROW) else ""


def _following(located: Sequence[tuple[int, Block]], start: int, block: Block) -> int:
    """The end of the list that follows this block, or of the items below this item; 0 for none."""
    depth = block.level if block.kind == Kind.LIST_ITEM else 0
    end = 0
    for begin, other in located:
        if begin > start:
            if other.kind != Kind.LIST_ITEM or (depth and other.level <= depth):
                break
            end = begin + len(other.text)
    return end


def _whole(around: _Around, group: Sequence[tuple[int, Block]]) -> Iterator[Unit]:
    """A list or table as one unit: it answers what is asked of all of it."""
    (start, first), (last_start, last) = group[0], group[-1]
    end = last_start + len(last.text)
    if len(group) > 1 and end - start <= LONGEST_WHOLE:
        above = around.words(*context_of([first]))
        yield _unit(around, start, end, own=NONE, above=above, lead=_header(first))


def _of_block(around: _Around, start: int, block: Block, list_end: int) -> Iterator[Unit]:
    match block.kind:
        case Kind.HEADING | Kind.TABLE_HEADER:
            if is_question(block.text):
                around.asked = around.words(block.text)
            around.near = NONE
            end = start + len(block.text)
            yield _unit(around, start, end, own=around.words(block.text), heading=True)
        case Kind.PARAGRAPH | Kind.QUOTATION:
            yield from _sentences(around, start, block, list_end)
        case Kind.LIST_ITEM if is_question(block.text):
            around.asked = own = around.words(block.text)
            yield _unit(around, start, start + len(block.text), own=own, heading=True)
        case _:
            above = around.words(*context_of([block]))
            own = around.words(*block.cells) if block.cells else around.words(block.text)
            end = list_end or start + len(block.text)
            yield _unit(around, start, end, own=own, above=above, lead=_header(block))


def _sentences(around: _Around, start: int, block: Block, list_end: int) -> Iterator[Unit]:
    above = around.words(*context_of([block]))
    found = spans(block.text)
    around.near, before = NONE, None
    for first, last in found:
        text = block.text[first:last]
        own = around.words(text)
        if is_question(text):
            # What is asked here is answered by what follows.
            around.asked, around.near, before = own, NONE, None
            yield _unit(around, start + first, start + last, own=own, above=above, heading=True)
            continue
        is_lead_in = bool(list_end) and last == found[-1][1] and text.endswith((":", "："))
        unit = _unit(around, start + first, start + last, own=own, above=above)
        unit = replace(unit, finished=is_finished(text), rest=_rest(start, first, block.text))
        if is_lead_in:
            unit = replace(unit, end=list_end, rest=0)
        elif before is not None and refers(text):
            # "It was built in 1831" is quoted with the sentence that says what was.
            unit = replace(unit, start=start + before, refers=True)
        yield unit
        around.near, before = own, first


def _rest(start: int, first: int, text: str) -> int:
    """The end of the paragraph that a sentence begins, or of as much of it as is quoted."""
    return start + min(len(text.rstrip()), first + LONGEST_PARAGRAPH)


def _unit(
    around: _Around,
    start: int,
    end: int,
    *,
    own: Words,
    above: Words = NONE,
    lead: str = "",
    heading: bool = False,
) -> Unit:
    return Unit(
        source=around.source,
        start=start,
        end=end,
        own=own,
        asked=around.asked,
        above=above,
        near=around.near,
        named=around.named,
        lead=lead,
        heading=heading,
    )


def _header(block: Block) -> str:
    """The header of a row, as it is shown above it."""
    return CELL_MARK.join(cell or EMPTY_CELL for cell in block.header)
