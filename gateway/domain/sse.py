"""Server-sent events to the WHATWG rules, incrementally, with no socket.

Bytes go in as they come, cut anywhere; whole *blocks* come out (``sse_blocks``): behind the end of
one another event or comment may be put without changing what a client reads. There are two ways to
look at them:

- ``SseParser`` gives the events a browser would dispatch;
- ``EventSplitter`` gives the bytes that may be forwarded and whether the answer has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from gateway.domain.error_shape import error_body
from gateway.domain.plain_events import BEGUN_LIMIT_BYTES, is_begun, plain_run
from gateway.domain.sse_blocks import Block, Blocks
from gateway.errors import EventTooLarge, GatewayError

EVENT_LIMIT_BYTES = 1024 * 1024

CONNECTED = b": connected\n\n"
PING = b": ping\n\n"

Verdict = Literal["done", "error", "oversize"]


@dataclass(frozen=True, slots=True)
class Event:
    """One dispatched event: ``type`` is ``"message"`` when none was named, ``id`` the last seen."""

    type: str
    data: str
    id: str


class SseParser:
    """The events of a stream, as a browser would dispatch them."""

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._blocks = Blocks(limit_bytes)

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

    def feed_whole(self, piece: bytes) -> list[Event]:
        """As ``feed``, of a piece that ends on an event boundary: a CR at its end ends a block."""
        events = self.feed(piece)
        return events + self.finish() if piece.endswith(b"\r") else events

    def finish(self) -> list[Event]:
        """To be called at the end of the stream; an event without its blank line is dropped."""
        return self._events(self._blocks.finish())

    def _events(self, blocks: list[Block]) -> list[Event]:
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
        usage_data: the data of the last ``usage`` event in ``forward``, ``None`` where none is.
    """

    forward: bytes
    types: tuple[str, ...] = ()
    verdict: Verdict | None = None
    error_data: str = ""
    alive: bool = False
    excess: bool = False
    usage_data: bytes | None = None


class EventSplitter:
    """Lets whole events pass byte for byte and holds the rest, up to the answer's end.

    ``done`` passes and is the last to pass; a core's ``error`` does not pass and is handed out
    to be replaced; an event over the limit does not pass. All that follows is dropped.

    Attributes:
        at_boundary: the answer goes on and nothing is held: what comes next begins a block.
        verdict: how the answer ended, ``None`` while it goes on.
    """

    __slots__ = ("_begun", "_blocks", "at_boundary", "verdict")

    def __init__(self, limit_bytes: int = EVENT_LIMIT_BYTES) -> None:
        self._blocks = Blocks(limit_bytes)
        self._begun = b""  # a block that the parser has not seen yet
        self.at_boundary = False  # a BOM may come
        self.verdict: Verdict | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes behind the last boundary: at most the event limit and one read."""
        return len(self._begun) + self._blocks.held_bytes

    def pass_plain(self, data: bytes) -> tuple[bytes, int] | None:
        """What may pass without a parse, and how many events it is; ``None``: ask ``feed``.

        The cheap way for what a core sends nearly always: plain blocks, and the beginning of one,
        which is held. It says what ``feed`` would say.
        """
        if self._begun:
            data = self._begun + data
        elif not self.at_boundary:
            return None
        size, events = plain_run(data)
        if size > self._blocks.limit_bytes:
            return None
        if size == len(data):
            self._begun, self.at_boundary = b"", True
            return data, events
        rest = data[size:]
        if len(rest) > self._blocks.limit_bytes or not is_begun(rest):
            return None
        self._begun, self.at_boundary = rest, False
        return data[:size], events

    def feed(self, data: bytes) -> Fed:
        if self.verdict is not None:
            return Fed(b"", excess=_says_something(data))
        if self._begun:
            data, self._begun = self._begun + data, b""
        comments = self._blocks.comments
        return self._fed(self._blocks.feed(data), comments)

    def finish(self) -> Fed:
        """The core's body ended. Without a verdict now, it was cut short."""
        if self.verdict is not None:
            return Fed(b"")
        # A block that was held is begun and no more: this ends none.
        self._blocks.feed(self._begun)
        self._begun = b""
        return self._fed(self._blocks.finish(), self._blocks.comments)

    def _fed(self, blocks: list[Block], comments: int) -> Fed:
        end, error_data = 0, ""
        usage_data: bytes | None = None
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
                if block.type == b"usage":
                    usage_data = block.data
        if self.verdict is None and self._blocks.overflow:
            self.verdict = "oversize"
        alive = bool(types) or self._blocks.comments > comments
        forward = self._blocks.take(end) if end else b""
        self.at_boundary = self.verdict is None and self._blocks.at_boundary
        excess = self.verdict == "done" and _says_something(self._blocks.rest())
        if self.verdict is None and not self.at_boundary:
            self._take_back()
        return Fed(forward, tuple(types), self.verdict, error_data, alive, excess, usage_data)

    def _take_back(self) -> None:
        """Takes what is held from the parser where that has said nothing of it yet.

        Else a stream whose reads all end within a block would never come back to the cheap way.
        """
        blocks = self._blocks
        small = blocks.held_bytes <= BEGUN_LIMIT_BYTES and not blocks.at_start
        if small and is_begun(blocks.rest()):
            self._begun = blocks.give_back()


def _says_something(data: bytes) -> bool:
    """Empty lines behind the end are no fault: some cores' last LF travels alone."""
    return bool(data.strip(b"\r\n"))


def event(name: str, data: bytes) -> bytes:
    """The bytes of one event. ``data`` is one line of JSON: an encoder leaves no CR or LF in it."""
    return b"event: %b\ndata: %b\n\n" % (name.encode("ascii"), data)


def terminal_event(error: GatewayError, request_id: str) -> bytes:
    """The ``error`` event a stream ends with when it cannot end well."""
    return event("error", msgspec.json.encode(error_body(error, request_id)))
