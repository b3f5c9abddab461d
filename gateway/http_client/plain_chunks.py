"""HTTP chunks that hold nothing but plain events (``domain.plain_events``), found without a parse.

The size that a chunk names must be that of its events: an honest chunk inside a longer one would be
a lie about the framing.
"""

from __future__ import annotations

import re

from gateway.domain.plain_events import PLAIN_EVENT, PLAIN_RUN, FramedSizes

# A chunk is its size in hex, the events, and the line end that closes it (RFC 9112, 7.1).
_RUN = re.compile(rb"([0-9a-fA-F]{1,8})\r\n(" + PLAIN_RUN + rb")\r\n")

# One event, for chunks of a usual length; ``_HEADS`` has the size line of each length. The look
# ahead finds that there is no CR but the framing's, in a third of the time that counting takes.
_EVENT = re.compile(rb"[0-9a-f]+\r\n(?=[^\r]*\r\n\Z)" + PLAIN_EVENT + rb"\r\n").fullmatch
_USUAL_BYTES = 2048


def _size_line(length: int) -> bytes:
    """What a whole chunk of ``length`` bytes begins with; where there is none, what none does."""
    for digits in range(1, 9):
        size = length - digits - 4
        if size > 0 and len(f"{size:x}") == digits:
            return b"%x\r\n" % size
    return b"\r"


_HEADS = tuple(_size_line(length) for length in range(_USUAL_BYTES))


def plain_run_size(data: bytes, limit_bytes: int) -> int:
    """The size of the plain run that ``data`` is one whole chunk of, else 0."""
    match = _RUN.fullmatch(data)
    if match is None or data.count(b"\r") != 2:
        return 0
    size = len(data) - match.start(2) - 2
    return size if int(match[1], 16) == size <= limit_bytes else 0


def plain_event_size(data: bytes) -> int:
    """The same for one event of a usual length, which nearly every chunk is; 0 for all else.

    Every method of ``bytes`` costs as much to call as a hundred bytes cost to match, so the size is
    not read: a chunk of this length can only begin with one spelling of it.
    """
    length = len(data)
    if length >= _USUAL_BYTES:
        return 0
    head = _HEADS[length]
    if data.startswith(head) and _EVENT(data):
        return length - len(head) - 2
    return 0


CHUNK_SIZES = FramedSizes(plain_event_size, plain_run_size)
