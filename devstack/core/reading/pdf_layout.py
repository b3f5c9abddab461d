"""The words of a page put into lines, columns and tables by where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from devstack.core.reading.pdf_words import Word

# In heights of a line: a wider gap between two words divides columns, a narrower one is a space.
_COLUMN_GAP = 0.9
_SAME_LINE = 0.5
_CELL_GAP = 0.4  # between two lines of one cell
_PARAGRAPH_GAP = 1.45
_INDENT = 0.9
_ROWS_AHEAD = 3
# Columns of running text: lines that are this wide, and this many of which go on in small letters.
_NARROWEST_TEXT = 5.0
_GOES_ON = 0.34
_FULL = 0.75

_MARK = re.compile(r"(?:[•‣▪◦·●○■–*-]|\(?(?:\d{1,3}|[a-zA-Z])[.)])")
_CASED = re.compile(r"[^\W\d_]")
_ENDS = re.compile(r"[.!?:。！？।؟۔][\"'”’»)\]]*$")
_DIVIDED = re.compile(r"(?<=[^\W\d_])[-\u00ad\u2010]$")


@dataclass(slots=True)
class Segment:
    """Words in one line with nothing but spaces between them."""

    words: list[Word]
    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def of(cls, word: Word) -> Segment:
        return cls([word], word.left, word.right, word.bottom, word.top)

    @property
    def height(self) -> float:
        return self.top - self.bottom

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def bold(self) -> bool:
        return all(word.bold for word in self.words)

    def take(self, word: Word) -> None:
        self.words.append(word)
        self.left, self.right = min(self.left, word.left), max(self.right, word.right)
        self.bottom, self.top = min(self.bottom, word.bottom), max(self.top, word.top)

    def is_beside(self, other: Word | Segment) -> bool:
        """Whether both are in one line."""
        overlap = min(self.top, other.top) - max(self.bottom, other.bottom)
        return overlap > _SAME_LINE * min(self.height, other.height)


@dataclass(slots=True)
class Paragraph:
    """Lines that are read together; ``height`` of their letters, ``bold`` when all of it is."""

    lines: list[str] = field(default_factory=list)
    height: float = 0.0
    bold: bool = False

    @property
    def text(self) -> str:
        return joined_lines(self.lines)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table's rows, all with the same number of cells."""

    rows: tuple[tuple[str, ...], ...]


Piece = Paragraph | Grid
Row = list[Segment]


def pieces(words: Sequence[Word]) -> Iterator[Piece]:
    """The paragraphs and tables of a page in reading order."""
    rows = _rows(_segments(words))
    plain: list[Segment] = []
    start = 0
    while start < len(rows):
        end = _columns_end(rows, start)
        if end is None:
            plain.append(_as_line(rows[start]))
            start += 1
            continue
        yield from _paragraphs(plain)
        plain = []
        yield from _beside(rows[start:end])
        start = end
    yield from _paragraphs(plain)


def joined_lines(lines: Sequence[str]) -> str:
    """Lines as one text; a word that was divided at the end of a line is whole again."""
    text = ""
    for line in lines:
        if _DIVIDED.search(text) and line[:1].islower():
            text = text[:-1] + line
        else:
            text = f"{text} {line}" if text else line
    return text


def _segments(words: Sequence[Word]) -> list[Segment]:
    segments: list[Segment] = []
    for word in words:
        current = segments[-1] if segments else None
        if current is not None and current.is_beside(word) and _gap(current, word) < _COLUMN_GAP:
            current.take(word)
        else:
            segments.append(Segment.of(word))
    return segments


def _gap(first: Segment, second: Word | Segment) -> float:
    """The gap between two in one line, in heights of the line, whichever is on the left."""
    gap = max(second.left - first.right, first.left - second.right)
    return gap / max(first.height, second.height, 0.1)


def _rows(segments: Sequence[Segment]) -> list[Row]:
    """The lines from the top to the bottom, each with its segments from the left."""
    rows: list[Row] = []
    for segment in sorted(segments, key=lambda one: -one.top):
        if rows and rows[-1][0].is_beside(segment):
            rows[-1].append(segment)
        else:
            rows.append([segment])
    return [_joined(sorted(row, key=lambda one: one.left)) for row in rows]


def _joined(row: Row) -> Row:
    """A row whose neighbours are one segment again: parts drawn apart, and a list's marks."""
    kept = row[:1]
    for segment in row[1:]:
        before = kept[-1]
        is_mark = len(kept) == 1 and _MARK.fullmatch(before.text) and _gap(before, segment) < 4
        if is_mark or (_gap(before, segment) < _COLUMN_GAP and not _is_rtl(segment)):
            for word in segment.words:
                before.take(word)
        else:
            kept.append(segment)
    return kept


def _is_rtl(segment: Segment) -> bool:
    return any("\u0590" <= letter <= "\u08ff" for letter in segment.text)


Span = tuple[float, float]


def _cover(covered: Sequence[Span], row: Row) -> list[Span]:
    """What of the width is covered, from the left, with one more row."""
    found: list[Span] = []
    for left, right in sorted((*covered, *((one.left, one.right) for one in row))):
        if found and left <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], right))
        else:
            found.append((left, right))
    return found


def _apart(covered: Sequence[Span], height: float) -> list[Span]:
    """The parts that are so far apart that they are columns."""
    found = list(covered[:1])
    for left, right in covered[1:]:
        if left - found[-1][1] < _COLUMN_GAP * height:
            found[-1] = (found[-1][0], right)
        else:
            found.append((left, right))
    return found


def _spans(rows: Sequence[Row]) -> list[Span]:
    """The columns that rows stand in, from the left."""
    covered: list[Span] = []
    for row in rows:
        covered = _cover(covered, row)
    return _apart(covered, _height(rows))


def _height(rows: Sequence[Row]) -> float:
    return median(segment.height for row in rows[:_ROWS_AHEAD] for segment in row)


def _columns_end(rows: Sequence[Row], start: int) -> int | None:
    """Where the rows end that stand in columns from ``start`` on; None when they do not."""
    height = _height(rows[start : start + _ROWS_AHEAD])
    covered: list[Span] = []
    end = start
    for n in range(start, len(rows)):
        covered = _cover(covered, rows[n])
        if len(_apart(covered, height)) > 1:
            end = n + 1
        elif end > start or n + 1 >= start + _ROWS_AHEAD:
            break
    # One line with a wide gap, as in "Name:      Date:", is no column.
    return end if end - start > 1 else None


def _beside(rows: Sequence[Row]) -> Iterator[Piece]:
    columns = _spans(rows)
    sides = [
        [s for row in rows for s in row if left <= s.left and s.right <= right]
        for left, right in columns
    ]
    if all(_is_running_text(side) for side in sides):
        right_to_left = sum(map(_is_rtl, sides[-1])) * 2 > len(sides[-1])
        for side in reversed(sides) if right_to_left else sides:
            yield from _paragraphs(side)
    else:
        for run, in_table in _table_runs(rows, columns[0][1]):
            if in_table:
                yield Grid(tuple(_grid(run, columns)))
            else:
                yield from _paragraphs([_as_line(row) for row in run])


def _as_line(row: Row) -> Segment:
    """A row as one line, whatever the gaps in it."""
    line = Segment.of(row[0].words[0])
    for word in (word for segment in row for word in segment.words):
        if word is not row[0].words[0]:
            line.take(word)
    return line


def _table_runs(rows: Sequence[Row], first_ends: float) -> Iterator[tuple[list[Row], bool]]:
    """The rows in runs, and whether a run is a table: lines above, between and below are not.

    A row of a table has several cells, or goes on with one of the row above. One row is no table.
    """
    runs: list[tuple[list[Row], bool]] = []
    for row in rows:
        in_table = len(row) > 1
        if runs and runs[-1][1] and not in_table:
            gap = runs[-1][0][-1][0].bottom - row[0].top
            goes_on = row[0].left > first_ends or row[0].text[:1].islower()
            in_table = goes_on and gap < _CELL_GAP * row[0].height
        if runs and runs[-1][1] == in_table:
            runs[-1][0].append(row)
        else:
            runs.append(([row], in_table))
    for run, in_table in runs:
        yield run, in_table and sum(len(row) > 1 for row in run) > 1


def _is_running_text(side: Sequence[Segment]) -> bool:
    """Whether a column is text that goes on from line to line, and not a table's cells."""
    if len(side) < 2:
        return False
    height = median(segment.height for segment in side)
    widths = [segment.right - segment.left for segment in side]
    if sum(widths) / len(widths) < _NARROWEST_TEXT * height:
        return False
    starts = [segment.text[0] for segment in side[1:]]
    if any(letter.lower() != letter.upper() for letter in starts):
        return sum(letter.islower() for letter in starts) >= _GOES_ON * len(starts)
    return sum(width >= _FULL * max(widths) for width in widths) * 2 > len(widths)


def _grid(rows: Sequence[Row], columns: Sequence[tuple[float, float]]) -> Iterator[tuple[str, ...]]:
    pending: list[str] | None = None
    before: Row | None = None
    for row in rows:
        cells = [
            " ".join(s.text for s in row if left <= s.left and s.right <= right)
            for left, right in columns
        ]
        if pending is not None and before is not None and _goes_on(before, row, cells):
            pending = [" ".join(filter(None, pair)) for pair in zip(pending, cells, strict=True)]
        else:
            if pending is not None:
                yield tuple(pending)
            pending = cells
        before = row
    if pending is not None:
        yield tuple(pending)


def _goes_on(before: Row, row: Row, cells: Sequence[str]) -> bool:
    """Whether a row only has the rest of cells above, and is close to them."""
    gap = before[0].bottom - row[0].top
    if gap >= _CELL_GAP * row[0].height:
        return False
    return sum(map(bool, cells)) < 2 or all(cell[:1].islower() for cell in cells if cell)


def _paragraphs(segments: Sequence[Segment]) -> Iterator[Paragraph]:
    """Lines one below the other, put together where they go on."""
    if not segments:
        return
    pitch = _usual_pitch(segments)
    widest = max(segment.right for segment in segments)
    current = _begun(segments[0])
    for above, segment in pairwise(segments):
        if _begins(above, segment, pitch, widest):
            yield current
            current = _begun(segment)
        else:
            current.lines.append(segment.text)
            current.bold = current.bold and segment.bold
    yield current


def _begun(segment: Segment) -> Paragraph:
    return Paragraph([segment.text], segment.height, segment.bold)


def _usual_pitch(segments: Sequence[Segment]) -> float:
    """From one line to the next, as it usually is here."""
    pitches = [above.bottom - below.bottom for above, below in pairwise(segments)]
    close = [p for p, s in zip(pitches, segments, strict=False) if 0 < p < 2.2 * s.height]
    return median(close) if close else 1.2 * segments[0].height


def _begins(above: Segment, line: Segment, pitch: float, widest: float) -> bool:
    """Whether a line begins a paragraph."""
    if _MARK.fullmatch(line.words[0].text) and len(line.words) > 1:
        return True
    if abs(line.height - above.height) > 0.15 * max(line.height, above.height):
        return True
    if line.bold != above.bold and (above.bold or len(line.words) < 12):
        return True
    if not 0 < above.bottom - line.bottom <= _PARAGRAPH_GAP * pitch:
        return True
    indented = line.left - above.left > _INDENT * line.height
    above_is_short = widest - above.right > 4 * line.height
    return bool(_ENDS.search(above.text)) and (indented or above_is_short)
