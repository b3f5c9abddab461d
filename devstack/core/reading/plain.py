"""Plain text: its paragraphs, lists, tables and lines, told by how they are laid out."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from devstack.core.reading import progress
from devstack.core.reading.blocks import ReadDocument
from devstack.core.reading.builder import DocumentBuilder
from devstack.core.reading.encodings import bounded_bytes, decode_text
from devstack.core.reading.faults import TEXT_LIMIT_CHARS, too_much_text
from devstack.core.reading.json_text import add_json, is_json
from devstack.core.reading.tables import names_columns

# U+2028 and its like stand inside a paragraph; a form feed begins a page, and so ends one.
_LINE_END = re.compile(r"\r\n|[\n\r]")
_EMPTY_LINES = re.compile(r"(?:\r\n|[\n\r])(?:[^\S\n\r]*(?:\r\n|[\n\r]))+|\f")
_ITEM = re.compile(
    r"[ \t]*(?:(?P<bullet>[-*+•‣▪◦·–]|\[[ xX]\])|(?P<number>\(?(?:\d{1,3}|[a-zA-Z])[.)]))"
    r"[ \t]+(?=\S)"
)
_UNDERLINE = re.compile(r"(=|-|~|\*){3,}\s*")
# A line that stands for itself: it begins with a time, a date, a number or a name and a colon.
_ENTRY = re.compile(r"\s*(?:[\[(<]?\d[\d:./,T+-]*[\])>]?[\s,|]|[^\s:][^:.!?]{0,40}:\s)")
_ENDS_OPEN = re.compile(r"[^\s.!;,:。！；，、：।؟۔]\s*\Z")
_WIDE_GAP = re.compile(r"\t+| {2,}")
_RULE = re.compile(r"[\s|+=:_-]*")

LONGEST_HEADING_CHARS = 80
LONGEST_CELL_CHARS = 200
MOST_COLUMNS = 200


def item_mark(line: str) -> re.Match[str] | None:
    """The mark of a list's item at the start of a line; ``number`` is set for "1." or "a)"."""
    return _ITEM.match(line)


def read_text(path: Path) -> ReadDocument:
    """The blocks of a text file.

    Raises:
        Unreadable: with a message for the user.
    """
    text, warning = decode_text(bounded_bytes(path))
    if len(text) > TEXT_LIMIT_CHARS:
        raise too_much_text()
    builder = DocumentBuilder()
    if warning:
        builder.warn(warning)
    if is_json(text):
        add_json(builder, text)
    else:
        add_lines(builder, text)
    return builder.done()


def add_lines(builder: DocumentBuilder, text: str) -> None:
    """Add a text that is laid out by line breaks and blanks."""
    groups = [_lines(group) for group in _EMPTY_LINES.split(text) if group and not group.isspace()]
    for n, group in enumerate(groups):
        progress.tell(n, len(groups))
        following = groups[n + 1] if n + 1 < len(groups) else None
        if following is not None and _is_heading(group) and not _is_heading(following):
            builder.heading(group[0], 1)
        else:
            _add_group(builder, group)


def _lines(group: str) -> list[str]:
    return [line for line in _LINE_END.split(group) if line.strip()]


def _is_heading(group: Sequence[str]) -> bool:
    """A short line of its own without the end of a sentence; a question may be one."""
    line = group[0]
    return (
        len(group) == 1
        and len(line.strip()) <= LONGEST_HEADING_CHARS
        and _ENDS_OPEN.search(line) is not None
        and _ITEM.match(line) is None
        and _WIDE_GAP.search(line.strip()) is None
    )


def _add_group(builder: DocumentBuilder, group: list[str]) -> None:
    if len(group) > 1 and _UNDERLINE.fullmatch(group[1]) and len(group[0]) <= LONGEST_HEADING_CHARS:
        builder.heading(group[0], 2 if group[1].startswith("-") else 1)
        group = group[2:]
    if not group or _add_table(builder, group):
        return
    if any(_ITEM.match(line) for line in group[1:] or group):
        _add_list(builder, group)
    elif len(group) > 1 and all(_ENTRY.match(line) for line in group):
        for line in group:
            builder.paragraph(line)
    else:
        builder.paragraph("\n".join(group))


def _add_list(builder: DocumentBuilder, group: Sequence[str]) -> None:
    """Items, each with the lines that go on with it; what stands in front is a paragraph."""
    pieces: list[list[str]] = [[]]
    for line in group:
        if _ITEM.match(line):
            pieces.append([])
        pieces[-1].append(line)
    builder.paragraph("\n".join(pieces[0]))
    for piece in pieces[1:]:
        mark = _ITEM.match(piece[0])
        assert mark is not None
        first = piece[0].strip() if mark["number"] else piece[0][mark.end() :]
        depth = 1 + (len(mark.group()) - len(mark.group().lstrip())) // 2
        builder.item("\n".join((first, *piece[1:])), depth)


def _add_table(builder: DocumentBuilder, group: Sequence[str]) -> bool:
    """Add the lines as rows when all of them have the same columns."""
    lines = [line for line in group if not _RULE.fullmatch(line)]
    rows = next((rows for rows in _readings(lines) if _is_table(rows)), None)
    if rows is None:
        return False
    cells = [row for _, row in rows]
    named = names_columns(cells)
    if named:
        builder.header(cells[0], rows[0][0])
    for line, row in rows[int(named) :]:
        builder.row(row, cells[0] if named else (), line)
    return True


Row = tuple[str, list[str]]


def _readings(lines: Sequence[str]) -> Iterator[list[Row]]:
    """The lines as rows, by each mark that may stand between cells."""
    if len(lines) > 1 and all("|" in line for line in lines):
        yield [(line, line.strip().strip("|").split("|")) for line in lines]
    for mark, fewest in (("\t", 2), (";", 3), (",", 3)):
        if len(lines) >= fewest and all(mark in line for line in lines):
            yield _separated(lines, mark)
    if len(lines) > 1 and all(_WIDE_GAP.search(line.strip()) for line in lines):
        yield [(line, _WIDE_GAP.split(line.strip())) for line in lines]


def _separated(lines: Sequence[str], mark: str) -> list[Row]:
    rows = csv.reader(lines, delimiter=mark, skipinitialspace=True)
    read: list[Row] = []
    start = 0
    try:
        for row in rows:
            read.append(("\n".join(lines[start : rows.line_num]), row))
            start = rows.line_num
    except csv.Error:
        return []
    return read


def _is_table(rows: Sequence[Row]) -> bool:
    if len(rows) < 2:
        return False
    columns = len(rows[0][1])
    return 2 <= columns <= MOST_COLUMNS and all(
        len(row) == columns and all(len(cell) <= LONGEST_CELL_CHARS for cell in row)
        for _, row in rows
    )
