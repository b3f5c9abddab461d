"""Server-sent events out of bytes that come cut anywhere, by WHATWG's rules.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, section 9.2.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from knowledge_base.errors import ProtocolError

_BOM = b"\xef\xbb\xbf"
_CR, _LF = b"\r", 0x0A
_LINE_END = re.compile(rb"[\r\n]")
_DIGITS = re.compile(rb"[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class SseEvent:
    """``name`` is ``message`` where the stream gave none; ``data`` has its lines joined by LF."""

    name: str
    data: str
    last_id: str


class SseParser:
    """Takes bytes, gives the events that they complete. What no blank line ends is no event.

    Lines are cut before they are decoded, so a letter whose bytes come in two pieces stays whole;
    bytes that are no UTF-8 become U+FFFD, as the standard has it.

    Attributes:
        comments: how many comment lines came so far: a sign of life between events.
        retry_ms: the reconnection time that the stream named last.
    """

    def __init__(self, *, line_limit_bytes: int, event_limit_bytes: int) -> None:
        self.comments = 0
        self.retry_ms: int | None = None
        self._line_limit_bytes = line_limit_bytes
        self._event_limit_bytes = event_limit_bytes
        self._buffer = bytearray()
        self._searched = 0  # up to here the buffer has no line end
        self._at_start = True
        self._after_cr = False  # a LF that follows belongs to that line's end
        self._last_id = b""
        self._reset()

    def _reset(self) -> None:
        self._name = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, data: bytes) -> list[SseEvent]:
        """The events that ``data`` completes, in order.

        Raises:
            ProtocolError: a line, or an event's data, is larger than its limit.
        """
        self._buffer += data
        found: list[SseEvent] = []
        if self._at_start and not self._skip_mark():
            return found
        while (line := self._next_line()) is not None:
            event = self._take(line)
            if event is not None:
                found.append(event)
        if len(self._buffer) > self._line_limit_bytes:
            raise ProtocolError(f"A line has more than {self._line_limit_bytes} bytes.")
        return found

    def _skip_mark(self) -> bool:
        """Whether it is known what the stream begins with; a byte order mark is taken away."""
        if len(self._buffer) < len(_BOM) and _BOM.startswith(self._buffer):
            return False
        if self._buffer.startswith(_BOM):
            del self._buffer[: len(_BOM)]
        self._at_start = False
        return True

    def _next_line(self) -> bytes | None:
        buffer = self._buffer
        if self._after_cr and buffer:
            self._after_cr = False
            if buffer[0] == _LF:
                del buffer[0]
        found = _LINE_END.search(buffer, self._searched)
        if found is None:
            self._searched = len(buffer)
            return None
        end, self._after_cr = found.start(), found.group() == _CR
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        self._searched = 0
        if len(line) > self._line_limit_bytes:
            raise ProtocolError(f"A line has more than {self._line_limit_bytes} bytes.")
        return line

    def _take(self, line: bytes) -> SseEvent | None:
        if not line:
            return self._dispatch()
        name, colon, value = line.partition(b":")
        if colon and not name:
            self.comments += 1
        else:
            self._field(name, value.removeprefix(b" "))
        return None

    def _field(self, name: bytes, value: bytes) -> None:
        match name:
            case b"data":
                self._add_data(value)
            case b"event":
                self._name = value
            case b"id" if b"\0" not in value:
                self._last_id = value
            case b"retry" if _DIGITS.match(value):
                self.retry_ms = int(value[:18])

    def _add_data(self, value: bytes) -> None:
        self._data.append(value)
        self._data_bytes += len(value) + 1
        if self._data_bytes > self._event_limit_bytes + 1:
            raise ProtocolError(f"An event has more than {self._event_limit_bytes} bytes.")

    def _dispatch(self) -> SseEvent | None:
        name, data = self._name, self._data
        self._reset()
        if not data:
            return None
        return SseEvent(_text(name) or "message", _text(b"\n".join(data)), _text(self._last_id))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
