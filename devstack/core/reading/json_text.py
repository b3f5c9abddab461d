"""Text files of JSON: each record is a unit, in the file's own characters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from devstack.core.reading.blocks import Kind
from devstack.core.reading.builder import DocumentBuilder

# A value up to this long is one unit; a longer one is taken apart.
LONGEST_UNIT_CHARS = 600
# Each level that is taken apart is read once more.
DEEPEST = 20
MOST_FIELDS = 50

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


def is_json(text: str) -> bool:
    """Whether a text is one JSON array or object, or one such object a line."""
    head = text[:100].lstrip()
    if not head.startswith(("{", "[")):
        return False
    return _is_value(text) or all(
        line.lstrip().startswith("{") and _is_value(line)
        for line in text.split("\n")
        if line.strip()
    )


def _is_value(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def add_json(builder: DocumentBuilder, text: str) -> None:
    """Add the records of a text for which :func:`is_json` is true."""
    start = _skip(text, 0)
    while start < len(text):
        start = _skip(text, _add_value(builder, text, start, "", 0))


def _skip(text: str, start: int) -> int:
    found = _BLANK.match(text, start)
    return found.end() if found else start


def _add_value(builder: DocumentBuilder, text: str, start: int, key: str, depth: int) -> int:
    """Add the value that begins at ``start``; where it ends. ``key`` is its name as written."""
    value, end = _DECODER.raw_decode(text, start)
    if end - start > LONGEST_UNIT_CHARS and isinstance(value, dict | list) and depth < DEEPEST:
        with builder.within(json.loads(key) if key else ""):
            for name, at in _entries(text, start, isinstance(value, dict)):
                _add_value(builder, text, at, name, depth + 1)
    elif isinstance(value, dict) and not key and _is_record(value):
        cells = [shown if isinstance(shown, str) else json.dumps(shown) for shown in value.values()]
        builder.row(cells, tuple(value), text[start:end])
    else:
        builder.paragraph(f"{key}: {text[start:end]}" if key else text[start:end], Kind.CODE)
    return end


def _is_record(value: dict[str, Any]) -> bool:
    plain = not any(isinstance(entry, dict | list) for entry in value.values())
    return plain and 0 < len(value) <= MOST_FIELDS


def _entries(text: str, start: int, named: bool) -> Iterator[tuple[str, int]]:
    """The name, as written, and the place of each entry of the array or object at ``start``."""
    at = _skip(text, start + 1)
    while text[at] not in "]}":
        name = ""
        if named:
            _, end = _DECODER.raw_decode(text, at)
            name, at = text[at:end], _skip(text, _skip(text, end) + 1)
        yield name, at
        _, end = _DECODER.raw_decode(text, at)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
