"""Events as lines that every client's parser takes.

A line of an event stream ends at CR or LF only, but parsers made of a language's own line reader
also end it at U+2028, U+2029 or U+0085, and some refuse long lines (Go's scanner above 64 KiB).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

DEFAULT_LIMIT_BYTES = 32 * 1024
SMALLEST_LIMIT_BYTES = 4 * 1024

_FIELD = "data: "
# JSON needs no escape for these; they stand in strings only, so that escaping them is safe.
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}
_LONGEST_TOKEN_CHARS = 1_000


def to_json(value: Any) -> str:
    """A value as one line of JSON, in any reader's eyes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_LINE_ENDS)


def event(name: str, data: Any) -> bytes:
    """One whole event."""
    return f"event: {name}\n{_FIELD}{to_json(data)}\n\n".encode()


def token_texts(text: str) -> Iterator[str]:
    """A token's text in parts that are short lines."""
    for start in range(0, len(text), _LONGEST_TOKEN_CHARS):
        yield text[start : start + _LONGEST_TOKEN_CHARS]


def fitted(sources: Sequence[dict[str, Any]], limit_bytes: int) -> list[dict[str, Any]]:
    """Sources that are a line of at most ``limit_bytes``, with the longest texts cut.

    A source whose text was cut has ``truncated: true``. When even their names and places are too
    much, sections are left out; no source ever is, for citations count them.
    """
    if _size(sources) <= limit_bytes:
        return list(sources)
    bare = [{**source, "text": "", "truncated": True} for source in sources]
    if _size(bare) > limit_bytes // 2:
        sources = [{k: v for k, v in source.items() if k != "section"} for source in sources]
        bare = [{**source, "text": "", "truncated": True} for source in sources]
    share = _share([_text_size(source["text"]) for source in sources], limit_bytes - _size(bare))
    return [_cut(source, share) for source in sources]


def _size(sources: Sequence[dict[str, Any]]) -> int:
    return len(_FIELD) + len(to_json(sources).encode())


def _text_size(text: str) -> int:
    return len(to_json(text).encode()) - 2


def _share(sizes: Sequence[int], budget: int) -> int:
    """The most that each text may take so that all fit: short ones leave room to the others."""
    left = max(0, budget)
    for done, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - done)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


def _cut(source: dict[str, Any], limit_bytes: int) -> dict[str, Any]:
    text = source["text"]
    if _text_size(text) <= limit_bytes:
        return source
    fits, too_long = 0, len(text)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if _text_size(text[:middle]) <= limit_bytes:
            fits = middle
        else:
            too_long = middle
    space = max(text.rfind(" ", fits // 2, fits), text.rfind("\n", fits // 2, fits))
    return {**source, "text": text[: space if space > 0 else fits], "truncated": True}
