"""Blocks of server-sent events, cut out of bytes that come cut anywhere (WHATWG's rules).

A *block* is an event with its blank line, or lines that leave nothing pending (comments, empty
lines). Behind the end of a block another event or comment may be put without changing what a client
reads. ``sse`` has the two faces of this machine.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
"""

from __future__ import annotations

from typing import NamedTuple

_BOM = b"\xef\xbb\xbf"
_CR, _LF = 0x0D, 0x0A


class Block(NamedTuple):
    """A block that ended at offset ``end`` of the buffer.

    ``type`` is ``None`` where nothing is dispatched; ``data`` is the event's, joined with LF.
    """

    end: int
    type: bytes | None
    data: bytes
    id: bytes


class _LineEnds:
    """Finds the line ends of a buffer that does not change meanwhile.

    A search for one byte is thirty times as fast as a pattern for two. What it finds is kept: the
    next CR may be far away in a text whose lines end in LF, and the other way round.
    """

    __slots__ = ("_buffer", "_cr", "_lf")

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self._cr = self._lf = -1

    def after(self, start: int) -> int:
        """Where the first CR or LF from ``start`` on is; the buffer's length if there is none."""
        if self._cr < start:
            self._cr = self._find(_CR, start)
        if self._lf < start:
            self._lf = self._find(_LF, start)
        return min(self._cr, self._lf)

    def _find(self, byte: int, start: int) -> int:
        at = self._buffer.find(byte, start)
        return at if at >= 0 else len(self._buffer)


class Blocks:
    """Cuts a byte stream into blocks. The buffer holds what follows the last block taken.

    Attributes:
        at_start: nothing came yet, or what may become a mark of order.
        overflow: a block is larger than the limit; nothing behind it is looked at.
        retry_ms: the reconnection time the stream asked for last.
        comments: how many comment lines came so far: a peer's sign of life.
    """

    __slots__ = (
        "_block",
        "_buffer",
        "_data",
        "_last_id",
        "_lf_may_follow",
        "_lf_style",
        "_line",
        "_pending",
        "_search",
        "_type",
        "at_start",
        "comments",
        "limit_bytes",
        "overflow",
        "retry_ms",
    )

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.overflow = False
        self.retry_ms: int | None = None
        self.comments = 0
        self._buffer = bytearray()
        self.at_start = True
        self._block = 0  # where the block under way begins in the buffer
        self._line = 0  # where its present line begins
        self._search = 0  # where to look for that line's end: what lies before was looked at
        self._lf_may_follow = False  # the last line ended in CR at the buffer's end
        self._lf_style = False  # the block's last line ended in LF or CR LF
        self._last_id = b""
        self._reset()

    def _reset(self) -> None:
        self._type = b""
        self._data: list[bytes] = []
        self._pending = False  # a field was seen since the last blank line

    @property
    def held_bytes(self) -> int:
        return len(self._buffer)

    @property
    def at_boundary(self) -> bool:
        """Nothing is held, nothing is pending, and the start with its BOM lies behind.

        A LF may still follow the last line's CR. Alone it is an empty line at a boundary: it passes
        and says nothing, either way.
        """
        return not (self._buffer or self.at_start or self._pending)

    def feed(self, data: bytes) -> list[Block]:
        """Takes bytes in; gives the blocks they end. Offsets count from ``take``'s start."""
        self._buffer += data
        if self.overflow or (self.at_start and not self._skip_bom(final=False)):
            return []
        return self._scan(final=False)

    def finish(self) -> list[Block]:
        """The stream is over: a blank line's lone CR was one after all. The rest is dropped."""
        if self.overflow or (self.at_start and not self._skip_bom(final=True)):
            return []
        return self._scan(final=True)

    def take(self, end: int) -> bytes:
        """Removes and gives the buffer's first ``end`` bytes: always up to a block's end."""
        taken = bytes(memoryview(self._buffer)[:end])
        del self._buffer[:end]
        self._block -= end
        self._line -= end
        self._search -= end
        return taken

    def rest(self) -> bytes:
        """What follows the last block taken."""
        return bytes(self._buffer)

    def give_back(self) -> bytes:
        """Gives what follows the last block taken, to be fed again, and forgets it.

        Nothing was said of it: it has no comment. Its id and its retry are as good the next time.
        """
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._block = self._line = self._search = 0
        self._lf_may_follow = self._lf_style = False
        self._reset()
        return rest

    def _skip_bom(self, *, final: bool) -> bool:
        """One BOM at the very start is no part of any event; false while it may still come."""
        head = bytes(self._buffer[:3])
        if head == _BOM:
            del self._buffer[:3]
        elif _BOM.startswith(head) and not final:
            return False
        self.at_start = False
        return True

    def _scan(self, *, final: bool) -> list[Block]:
        found: list[Block] = []
        buffer = self._buffer
        line_ends = _LineEnds(buffer)
        while not self.overflow:
            if self._lf_may_follow:
                if self._line == len(buffer):
                    break
                self._swallow_lf(found)
            end = line_ends.after(self._search)
            if end == len(buffer):
                self._search = end
                self._check_size(end)
                break
            at_edge = buffer[end] == _CR and end + 1 == len(buffer)
            if at_edge and end == self._line and self._lf_style and not final:
                # A blank line where lines end in LF: this one's is on the way, and a client that
                # looks for the four bytes would miss an event that ends without it.
                self._search = end
                break
            self._end_line(end, at_edge, found)
        return found

    def _swallow_lf(self, found: list[Block]) -> None:
        self._lf_may_follow = False
        if self._buffer[self._line] != _LF:
            return
        fresh = self._line == self._block
        self._line += 1
        self._search = self._line
        self._lf_style = True
        if fresh:
            self._close_block(found, None, b"")

    def _end_line(self, end: int, at_edge: bool, found: list[Block]) -> None:
        line_start = self._line
        crlf = self._buffer[end] == _CR and not at_edge and self._buffer[end + 1] == _LF
        self._line = self._search = end + (2 if crlf else 1)
        self._lf_may_follow = at_edge
        if end == line_start:
            self._check_size(end)
            if not self.overflow:
                self._blank_line(found)
            return
        self._lf_style = crlf or self._buffer[end] == _LF
        self._check_size(end)
        if not self.overflow:
            self._field_line(bytes(memoryview(self._buffer)[line_start:end]), found)

    def _blank_line(self, found: list[Block]) -> None:
        if self._data:
            self._close_block(found, self._type or b"message", b"\n".join(self._data))
        else:
            # No data, no event: so say the rules, whatever its name was.
            self._close_block(found, None, b"")
        self._reset()

    def _field_line(self, line: bytes, found: list[Block]) -> None:
        name, _, value = line.partition(b":")
        if not name:
            self.comments += 1
            if not self._pending:
                self._close_block(found, None, b"")
            return
        self._pending = True
        if value.startswith(b" "):
            value = value[1:]
        self._field(name, value)

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value
        elif name == b"id":
            if b"\0" not in value:
                self._last_id = value
        elif name == b"retry" and value.isdigit():
            self.retry_ms = _milliseconds(value)

    def _close_block(self, found: list[Block], kind: bytes | None, data: bytes) -> None:
        found.append(Block(self._line, kind, data, self._last_id))
        self._block = self._line
        self._lf_style = False

    def _check_size(self, end: int) -> None:
        """The blank line's own bytes don't count: they may be cut off from the rest."""
        if end - self._block > self.limit_bytes:
            self.overflow = True


def _milliseconds(digits: bytes) -> int:
    """More than nine digits is more than eleven days; Python refuses absurd ones outright."""
    return int(digits) if len(digits) <= 9 else 999_999_999
