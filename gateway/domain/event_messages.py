"""Events of a stream as messages of a socket: ``{"id":…,"event":…,"data":…}``, a frame each.

Whole events of SSE go in, bytes of text frames come out, all events of one piece together. An
event's data goes into its message as it came, once it was seen to be JSON in UTF-8: it is neither
read nor written again.

This is the hot path of that door: what nearly every core writes is recognised by one pattern an
event, anything else is parsed.
"""

from __future__ import annotations

import re
import sys

import msgspec

from gateway.domain.plain_events import READ_EVENTS
from gateway.domain.sse import SseParser
from gateway.domain.websocket import text_head

_IS_JSON = msgspec.json.Decoder(msgspec.Raw)
# An event in two lines, or without a name in one, that the gateway need not read; its name is one
# that stands in JSON as it is.
_USUAL = re.compile(
    rb"(?:event: ?(?!(?:%b)\n)([A-Za-z_][A-Za-z0-9_.-]*+)\n|)data: ?([^\r\n]++)\n\n"
    % b"|".join(READ_EVENTS)
).match


class EventMessages:
    """The messages of one question. ``question_id`` is the client's own, as JSON.

    Attributes:
        broken: an event came whose data is not JSON; nothing behind it is told.
    """

    __slots__ = ("_begin", "_begun", "_parser", "broken")

    def __init__(self, question_id: bytes) -> None:
        self._begin = b'{"id":%b,"event":"' % question_id
        self._parser = SseParser(limit_bytes=sys.maxsize)
        self._begun = False
        self.broken = False

    def frames(self, piece: bytes) -> bytes:
        """The messages of the events in ``piece``, which are whole; nothing for comments."""
        # A byte order mark may come first, and only there.
        frames = self.usual(piece) if self._begun else None
        self._begun = True
        return self._parsed(piece) if frames is None else frames

    def usual(self, piece: bytes) -> bytes | None:
        """The messages of events in at most two lines each, none of which the gateway reads itself.

        ``None`` where there is anything else in ``piece``: ``frames`` decides.
        """
        frames, at, end = [], 0, len(piece)
        while at < end:
            event = _USUAL(piece, at)
            if event is None:
                return None
            name, data = event.groups()
            if not _is_json(data):
                return None
            frames.append(self._frame(name or b"message", data))
            at = event.end()
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def message(self, event: str, data: bytes) -> bytes:
        """The frame of one message; ``data`` is JSON."""
        return self._frame(msgspec.json.encode(event)[1:-1], data)

    def _frame(self, name: bytes, data: bytes) -> bytes:
        begin = self._begin
        # ``","data":`` and the last brace are ten bytes.
        head = text_head(len(begin) + len(name) + len(data) + 10)
        return b'%b%b%b","data":%b}' % (head, begin, name, data)

    def _parsed(self, piece: bytes) -> bytes:
        frames = []
        for event in self._parser.feed_whole(piece):
            data = event.data.encode()
            if not _is_json(data):
                self.broken = True
                break
            frames.append(self.message(event.type, data))
        return b"".join(frames)


def _is_json(data: bytes) -> bool:
    try:
        if not data.isascii():
            data.decode()
        _IS_JSON.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True
