"""HTTP chunks taken apart without a parser, where a read is nothing but whole ones.

Nearly every chunk is one plain event (``domain.plain_events``), and goes on as it came: then the
size that it names must be that of its event, for an honest chunk inside a longer one would be a lie
about the framing.
"""

from __future__ import annotations

import re
from functools import lru_cache

from gateway.domain.plain_events import CR, CRLF, LF, Framing

# A chunk is its size in hex, the events, and the line end that closes it (RFC 9112, 7.1). The looks
# ahead say which line ends there are, in a third of the time that counting takes: no CR but the
# chunk's, no LF without a CR, no LF but the chunk's.
_LINE_ENDS = ((rb"[^\r]*+\r\n\Z", LF), (rb"(?:.*\r\n)+\Z", CRLF), (rb".*+\n\Z", CR))
# Comments may stand before the first event. There is a group for each kind of line end, of the
# blocks that follow the first event where there are any.
_EVENTS = re.compile(
    rb"[0-9a-fA-F]++\r\n(?:"
    + rb"|".join(
        rb"(?=%b)(?:%b|)%b(?:|((?:%b|%b)+))\r\n"
        % (ahead, blocks.comments, blocks.event, blocks.event, blocks.comments)
        for ahead, blocks in _LINE_ENDS
    )
    + rb")"
).fullmatch
_USUAL_BYTES, _LARGE_BYTES = 2048, 8192


@lru_cache(maxsize=1024)
def _size_line(length: int) -> bytes:
    """What a whole chunk of ``length`` bytes begins with; where there is none, what none does."""
    for digits in range(1, 9):
        size = length - digits - 4
        if size > 0 and len(f"{size:x}") == digits:
            return b"%x\r\n" % size
    return b"\r"


_HEADS = tuple(_size_line(length) for length in range(_USUAL_BYTES))


def plain_chunk(data: bytes) -> tuple[int, int]:
    """The bytes and the number of the plain events that ``data`` is one whole chunk of.

    Zeros for anything else, and for very large chunks. Every method of ``bytes`` costs as much to
    call as a hundred bytes cost to match, so the size is not read: a chunk of this length can only
    begin with one spelling of it, which nearly every server writes in small letters.
    """
    length = len(data)
    if length < _LARGE_BYTES:
        head = _HEADS[length] if length < _USUAL_BYTES else _size_line(length)
        honest = data.startswith(head) or data[: len(head)].lower() == head
        if honest and (match := _EVENTS(data)):
            size, kind = length - len(head) - 2, match.lastindex
            return size, 1 if kind is None else _LINE_ENDS[kind - 1][1].count(data[-2 - size : -2])
    return 0, 0


_HEX = re.compile(rb"[0-9a-fA-F]{1,8}").fullmatch


@lru_cache(maxsize=1024)
def _size(digits: bytes) -> int:
    """The size that is written so, 0 where it is none: ``int`` takes signs and blanks, too."""
    return int(digits, 16) if _HEX(digits) else 0


def unchunked(data: bytes) -> bytes:
    """What is in the chunks, where ``data`` is nothing but whole ones; else nothing.

    The last chunk, a size with an extension and a chunk that is cut are the parser's.
    """
    bodies = []
    at, length = 0, len(data)
    while at < length:
        start = data.find(b"\r\n", at, at + 10) + 2
        size = _size(data[at : start - 2]) if start > 1 else 0
        if not size or not data.startswith(b"\r\n", start + size):
            return b""
        bodies.append(data[start : start + size])
        at = start + size + 2
    return b"".join(bodies)


CHUNKS = Framing(plain_chunk, unchunked)
