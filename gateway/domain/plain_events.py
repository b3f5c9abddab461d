"""What a core sends nearly always, recognised without a parse: ordinary events, in any spelling.

A block is *plain* when it is an event that the gateway need not read, or comments and a blank line.
Its lines may be of any field, known or not, in any order, with or without a blank behind the colon;
all of them end in the same way: in LF, in CR LF or in CR. At a boundary
(``EventSplitter.at_boundary``) plain blocks pass as they are, and the beginning of a block may be
held until its end has come. All else is for ``sse.EventSplitter`` to parse.

How a transfer frames events is the transfer's: ``http_client.plain_chunks`` puts HTTP chunks round
these patterns.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

# The events that the gateway itself reads, by their types: none of them passes unread.
READ_EVENTS = (b"done", b"error", b"usage")

# A block that is only begun is held as bytes up to this size, and looked at again with each read.
BEGUN_LIMIT_BYTES = 4096


class PlainBlocks:
    """Plain blocks whose lines end in the same way, in texts that hold no other line end.

    No text is matched by both patterns, or by one of them in two ways: a pattern of many blocks
    would else try every choice of ways before it gives up.

    Attributes:
        event: matches one event with data that the gateway need not read, whatever its fields are.
        comments: matches lines of comments and a blank line. It begins with a literal character,
            so that an alternative which is none costs nothing.
    """

    __slots__ = ("_blank_lines", "_comment", "_events", "_run", "comments", "event", "is_begun")

    def __init__(self, char: bytes, end: bytes) -> None:
        """``char`` matches what is not in ``end``, which is how each line ends."""
        rest = char + rb"*+" + end
        # A later ``event`` line may hide this one: the parser is to find that out. The blank stands
        # inside the look ahead, for outside one it could be skipped to make the name another.
        read = rb" ?(?:%b)%b" % (b"|".join(READ_EVENTS), end)
        line = rb"(?!event:%b)%b%b" % (read, char, rest)
        # What nearly every core writes is tried first, for it takes half the time.
        usual = rb"(?:event:(?!%b)%b|)data:%b%b" % (read, rest, rest, end)
        to_data = rb"(?:(?!data(?::|%b))%b)*data(?::%b*+|)%b" % (end, line, char, end)
        self.event = rb"(?:%b|(?!%b)%b(?:%b)*%b)" % (usual, usual, to_data, line, end)
        self.comments = rb":%b(?::%b)*%b" % (rest, rest, end)
        self._run = re.compile(rb"(?:%b|(%b))*" % (self.event, self.comments)).match
        self._events = re.compile(rb"%b|(%b)" % (self.comments, self.event)).findall
        # Lines that are neither empty nor comments, the last one maybe cut.
        lines = rb"(?:(?!:)%b%b)*(?:(?!:)%b++|)" % (char, rest, char)
        self.is_begun = re.compile(lines).fullmatch
        # A pattern finds two bytes in a long text in half the time that their count takes.
        self._blank_lines = re.compile(2 * end).findall
        self._comment = re.compile(end + b":").search

    def run(self, data: bytes) -> tuple[int, int]:
        """How many bytes of plain blocks ``data`` begins with, and how many events they are."""
        match = self._run(data)
        assert match is not None  # it matches nothing, too
        size = match.end()
        run = data if size == len(data) else data[:size]
        return size, len(self._blank_lines(run)) if match.lastindex is None else self.count(run)

    def count(self, run: bytes) -> int:
        """How many events there are in a run of plain blocks."""
        if run.startswith(b":") or self._comment(run):
            return sum(map(bool, self._events(run)))
        # Without comments every blank line ends an event with data.
        return len(self._blank_lines(run))


# ``.`` stops at LF alone, and is as fast as a class of one character. Where lines end in LF, the
# text must hold no CR at all, and the other way round; where they end in CR LF, neither alone.
LF = PlainBlocks(rb".", rb"\n")
CRLF = PlainBlocks(rb"[^\r]", rb"\r\n")
CR = PlainBlocks(rb"[^\r]", rb"\r")


def _blocks_of(text: bytes) -> PlainBlocks | None:
    """The blocks with the one kind of line end that a text has; ``None`` where it has several."""
    if b"\r" not in text:
        return LF
    if b"\n" not in text:
        return CR
    one_kind = text.count(b"\n") == text.count(b"\r") == text.count(b"\r\n")
    return CRLF if one_kind else None


def plain_run(data: bytes) -> tuple[int, int]:
    """How many bytes of plain blocks ``data`` begins with, and how many events they are.

    ``data`` begins at a boundary. Where its lines end in more than one way, none of it is plain.
    """
    blocks = _blocks_of(data)
    return (0, 0) if blocks is None else blocks.run(data)


def is_begun(data: bytes) -> bool:
    """Whether ``data`` is the beginning of a block, of which the parser would say nothing yet.

    There is no comment in it: a comment is a sign of life, and between blocks one itself.
    """
    if not 0 < len(data) <= BEGUN_LIMIT_BYTES:
        return False
    blocks = _blocks_of(data)
    return blocks is not None and blocks.is_begun(data) is not None


class Framing(NamedTuple):
    """What a transfer's framing is, for reads that begin between two frames.

    Attributes:
        plain: tells of a read that is one frame, of plain blocks, how many bytes they are and how
            many events; it gives zeros for anything else. The shortest way.
        unframed: gives what is in the frames where the read is any number of whole ones, else
            nothing.
    """

    plain: Callable[[bytes], tuple[int, int]]
    unframed: Callable[[bytes], bytes]
