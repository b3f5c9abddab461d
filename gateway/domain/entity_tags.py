"""Entity tags: what names the present state of an answer, and what a client says it has of it.

The tags are weak (RFC 9110, 8.8.1): of the same answer a client may get the bytes as they are or
compressed, and both have one tag. ``If-None-Match`` compares weakly anyway (13.1.2). Nothing is
sent in ranges, where only a strong tag would do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b

# RFC 9110, 8.8.3: any character but a quote, and bytes beyond ASCII, between two quotes. A comma
# may be one of them, so a list is not simply divided at its commas.
_TAG = re.compile(r'[ \t,]*(?:W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*")[ \t]*(?=,|\Z)')
_DIGEST_BYTES = 16


def tag_of(content: bytes) -> str:
    """The tag of an answer with this content, before any compression."""
    return f'W/"{blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()}"'


def has_it(if_none_match: Iterable[str], tag: str) -> bool:
    """Whether the client has the answer with ``tag``, by its lines of ``If-None-Match``.

    ``*`` is true of every answer that there is. What is no list of tags names nothing: the client
    then gets the whole answer, as if it had not asked.
    """
    lines = ",".join(if_none_match).strip(" \t")
    return lines == "*" or tag.removeprefix("W/") in _tags(lines)


def _tags(text: str) -> list[str]:
    found, at = [], 0
    while match := _TAG.match(text, at):
        found.append(match[1])
        at = match.end()
    return found if not text[at:].strip(" \t,") else []
