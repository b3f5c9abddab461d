"""What a core sends nearly always, recognised without a parse: ordinary events, one a chunk.

An event is *plain* when it has two lines, ending in LF, and ends no answer. Runs of plain events
pass at a boundary (``EventSplitter.at_boundary``) as they are; all else is ``sse.EventSplitter``'s.
"""

from __future__ import annotations

import re

# A run of whole events of two lines each, ending in LF, none of which ends an answer. ``.`` stops
# at LF alone and is several times as fast as a class; CR is looked for beside it.
_PLAIN = rb"(?:event: (?!done\n|error\n)[a-z][a-z_-]*\ndata: .*\n\n)+"
PLAIN_RUN = re.compile(_PLAIN)
# The same as one HTTP chunk: its size in hex, the run, and the line end that closes it.
_PLAIN_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})\r\n(" + _PLAIN + rb")\r\n")

# One of them, for chunks of a usual length; ``_HEADS`` has the size line of each length. The look
# ahead finds that there is no CR but the framing's, in a third of the time that counting takes.
_PLAIN_EVENT = re.compile(
    rb"[0-9a-f]+\r\n(?=[^\r]*\r\n\Z)event: (?!done\n|error\n)[a-z][a-z_-]*\ndata: .*\n\n\r\n"
).fullmatch
_USUAL_BYTES = 2048


def _size_line(length: int) -> bytes:
    """What a whole chunk of ``length`` bytes begins with; where there is none, what none does."""
    for digits in range(1, 9):
        size = length - digits - 4
        if size > 0 and len(f"{size:x}") == digits:
            return b"%x\r\n" % size
    return b"\r"


_HEADS = tuple(_size_line(length) for length in range(_USUAL_BYTES))


def plain_chunk(data: bytes, limit_bytes: int) -> int:
    """The size of the plain run that ``data`` is one whole HTTP chunk of, else 0.

    A run passes at a boundary (``EventSplitter.at_boundary``) as it is. The size that the chunk
    names must be the run's: an honest chunk inside a longer one would be a lie about the framing.
    """
    match = _PLAIN_CHUNK.fullmatch(data)
    if match is None or data.count(b"\r") != 2:
        return 0
    size = len(data) - match.start(2) - 2
    return size if int(match[1], 16) == size <= limit_bytes else 0


def plain_event(data: bytes) -> int:
    """The same for one event of a usual length, which nearly every chunk is; 0 for all else.

    Every method of ``bytes`` costs as much to call as a hundred bytes cost to match, so the size is
    not read: a chunk of this length can only begin with one spelling of it.
    """
    length = len(data)
    if length >= _USUAL_BYTES:
        return 0
    head = _HEADS[length]
    if data.startswith(head) and _PLAIN_EVENT(data):
        return length - len(head) - 2
    return 0
