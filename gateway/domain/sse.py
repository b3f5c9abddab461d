"""Server-sent events to the WHATWG rules, incrementally, with no socket.

Bytes go in as they come, cut anywhere; whole *blocks* come out: an event with its blank line, or
lines that leave nothing pending (comments, empty lines). Behind the end of a block another event
or comment may be put without changing what a client reads. Two faces share that one machine:

- ``SseParser`` gives the events a browser would dispatch;
- ``EventSplitter`` gives the bytes that may be forwarded and whether the answer has ended.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from gateway.domain.error_shape import error_body
from gateway.domain.plain_events import is_plain_run
from gateway.errors import EventTooLarge, GatewayError

EVENT_LIMIT_BYTES = 1024 * 1024

CONNECTED = b": connected\n\n"
PING = b": ping\n\n"

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"[\r\n]")
_CR, _LF = 0x0D, 0x0A

Verdict = Literal["done", "error", "oversize"]


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event: ``type`` is ``"message"`` when none was named, ``id`` the last seen."""

    type: str
    data: str
    id: str


class _Block(NamedTuple):
    """A block that ended at offset ``end`` of the buffer.

    ``type`` is ``None`` where nothing is dispatched; ``data`` is the event's, joined with LF.
    """

    end: int
    type: bytes | None
    data: bytes
    id: bytes


class _Blocks:
    """Cuts a byte stream into blocks. The buffer holds what follows the last block taken.

    Attributes:
        overflow: a block is larger than the limit; nothing behind it is looked at.
        retry_ms: the reconnection time the stream asked for last.
        comments: how many comment lines came so far: a peer's sign of life.
    """

    __slots__ = (
        "_at_start",
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
        self._at_start = True
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
        """Nothing is held, nothing is pending, and the start with its BOM lies behind."""
        return not (self._buffer or self._at_start or self._lf_may_follow or self._pending)

    def feed(self, data: bytes) -> list[_Block]:
        """Takes bytes in; gives the blocks they end. Offsets count from ``take``'s start."""
        self._buffer += data
        if self.overflow or (self._at_start and not self._skip_bom(final=False)):
            return []
        return self._scan(final=False)

    def finish(self) -> list[_Block]:
        """The stream is over: a blank line's lone CR was one after all. The rest is dropped."""
        if self.overflow or (self._at_start and not self._skip_bom(final=True)):
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

    def _skip_bom(self, *, final: bool) -> bool:
        """One BOM at the very start is no part of any event; false while it may still come."""
        head = bytes(self._buffer[:3])
        if head == _BOM:
            del self._buffer[:3]
        elif _BOM.startswith(head) and not final:
            return False
        self._at_start = False
        return True

    def _scan(self, *, final: bool) -> list[_Block]:
        found: list[_Block] = []
        buffer = self._buffer
        while not self.overflow:
            if self._lf_may_follow:
                if self._line == len(buffer):
                    break
                self._swallow_lf(found)
            match = _LINE_END.search(buffer, self._search)
            if match is None:
                self._search = len(buffer)
                self._check_size(self._search)
                break
            end = match.start()
            at_edge = buffer[end] == _CR and end + 1 == len(buffer)
            if at_edge and end == self._line and self._lf_style and not final:
                # A blank line where lines end in LF: this one's is on the way, and a client that
                # looks for the four bytes would miss an event that ends without it.
                self._search = end
                break
            self._end_line(end, at_edge, found)
        return found

    def _swallow_lf(self, found: list[_Block]) -> None:
        self._lf_may_follow = False
        if self._buffer[self._line] != _LF:
            return
        fresh = self._line == self._block
        self._line += 1
        self._search = self._line
        self._lf_style = True
        if fresh:
            self._close_block(found, None, b"")

    def _end_line(self, end: int, at_edge: bool, found: list[_Block]) -> None:
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

    def _blank_line(self, found: list[_Block]) -> None:
        if self._data:
            self._close_block(found, self._type or b"message", b"\n".join(self._data))
        else:
            # No data, no event: so say the rules, whatever its name was.
            self._close_block(found, None, b"")
        self._reset()

    def _field_line(self, line: bytes, found: list[_Block]) -> None:
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

    def _close_block(self, found: list[_Block], kind: bytes | None, data: bytes) -> None:
        found.append(_Block(self._line, kind, data, self._last_id))
        self._block = self._line
        self._lf_style = False

    def _check_size(self, end: int) -> None:
        """The blank line's own bytes don't count: they may be cut off from the rest."""
        if end - self._block > self.limit_bytes:
            self.overflow = True


def _milliseconds(digits: bytes) -> int:
    """More than nine digits is more than eleven days; Python refuses absurd ones outright."""
    return int(digits) if len(digits) <= 9 else 999_999_999


class SseParser:
    """The events of a stream, as a browser would dispatch them."""

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._blocks = _Blocks(limit_bytes)

    @property
    def retry_ms(self) -> int | None:
        return self._blocks.retry_ms

    def feed(self, data: bytes) -> list[Event]:
        """The events these bytes complete, in order.

        Raises:
            EventTooLarge: an event is larger than the limit. Those before it are given first:
                the error comes with the next call then, and with every call after it.
        """
        return self._events(self._blocks.feed(data))

    def finish(self) -> list[Event]:
        """To be called at the end of the stream; an event without its blank line is dropped."""
        return self._events(self._blocks.finish())

    def _events(self, blocks: list[_Block]) -> list[Event]:
        if blocks:
            self._blocks.take(blocks[-1].end)
        elif self._blocks.overflow:
            raise EventTooLarge
        return [
            Event(_text(block.type), _text(block.data), _text(block.id))
            for block in blocks
            if block.type is not None
        ]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Fed:
    """What may go on to the client after some bytes came.

    Attributes:
        forward: bytes that end on an event boundary; may be empty.
        types: the types of the events in ``forward``.
        verdict: how the answer ended with these bytes, ``None`` while it goes on.
        error_data: the data of the core's own ``error`` event, which is not forwarded.
        alive: an event or a comment came: the core is not silent.
        excess: bytes came behind the end; they were dropped.
    """

    forward: bytes
    types: tuple[str, ...] = ()
    verdict: Verdict | None = None
    error_data: str = ""
    alive: bool = False
    excess: bool = False


class EventSplitter:
    """Lets whole events pass byte for byte and holds the rest, up to the answer's end.

    ``done`` passes and is the last to pass; a core's ``error`` does not pass and is handed out
    to be replaced; an event over the limit does not pass. All that follows is dropped.
    """

    __slots__ = ("_blocks", "verdict")

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._blocks = _Blocks(limit_bytes)
        self.verdict: Verdict | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes behind the last boundary: at most the event limit and one read."""
        return self._blocks.held_bytes

    def passes(self, data: bytes) -> int:
        """How many events ``data`` is, where it may pass as it is and nothing is left to hold.

        The cheap way for what a core sends nearly always: a read that begins at a boundary and is
        a run of two-line events, none of them an end. 0 for anything else: ``feed`` decides then.
        """
        if self.at_boundary and b"\r" not in data and is_plain_run(data):
            # In such a run every blank line ends an event with data: there are no others.
            return data.count(b"\n\n") if len(data) <= self._blocks.limit_bytes else 0
        return 0

    @property
    def at_boundary(self) -> bool:
        """Whether the answer goes on and nothing is held: what comes next begins a block."""
        return self.verdict is None and self._blocks.at_boundary

    def feed(self, data: bytes) -> Fed:
        if self.verdict is not None:
            return Fed(b"", excess=_says_something(data))
        comments = self._blocks.comments
        return self._fed(self._blocks.feed(data), comments)

    def finish(self) -> Fed:
        """The core's body ended. Without a verdict now, it was cut short."""
        if self.verdict is not None:
            return Fed(b"")
        return self._fed(self._blocks.finish(), self._blocks.comments)

    def _fed(self, blocks: list[_Block], comments: int) -> Fed:
        end, error_data = 0, ""
        types: list[str] = []
        for block in blocks:
            if block.type == b"error":
                self.verdict, error_data = "error", _text(block.data)
                break
            end = block.end
            if block.type is not None:
                types.append(_text(block.type))
                if block.type == b"done":
                    self.verdict = "done"
                    break
        if self.verdict is None and self._blocks.overflow:
            self.verdict = "oversize"
        alive = bool(types) or self._blocks.comments > comments
        forward = self._blocks.take(end) if end else b""
        excess = self.verdict == "done" and _says_something(self._blocks.rest())
        return Fed(forward, tuple(types), self.verdict, error_data, alive, excess)


def _says_something(data: bytes) -> bool:
    """Empty lines behind the end are no fault: some cores' last LF travels alone."""
    return bool(data.strip(b"\r\n"))


def event(name: str, data: bytes) -> bytes:
    """The bytes of one event. ``data`` is one line of JSON: an encoder leaves no CR or LF in it."""
    return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), data)


def terminal_event(error: GatewayError, request_id: str) -> bytes:
    """The ``error`` event a stream ends with when it cannot end well."""
    return event("error", msgspec.json.encode(error_body(error, request_id)))
