"""Bodies without chunks: each read is all body, up to where the body ends.

So no parser has to look at a read, unless the body ends in it: what is left of a body with a
``Content-Length`` is counted here meanwhile; one that ends with its connection ends in no read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from gateway.domain.plain_events import Framing

Taker = Callable[[bytes], None]


def _no_frame(_: bytes) -> tuple[int, int]:
    return 0, 0


def _itself(data: bytes) -> bytes:
    return data


# There is no frame that could go on as it came.
_UNFRAMED = Framing(_no_frame, _itself)


class Unchunked:
    """The rest of a body, ``left_bytes`` long. Without a length it is longer than any read."""

    __slots__ = ("has_length", "left_bytes")
    framing = _UNFRAMED

    def __init__(self, length: bytes | None) -> None:
        """``length`` is the header's value, which the parser has checked."""
        self.has_length = length is not None
        self.left_bytes = sys.maxsize if length is None else int(length)

    def taker(self, take: Taker, parse: Taker) -> Taker:
        """What takes a read: ``take``, but ``parse`` one that the body ends in."""
        if not self.has_length:
            return take

        def count(data: bytes) -> None:
            left_bytes = self.left_bytes - len(data)
            if left_bytes > 0:
                self.left_bytes = left_bytes
                take(data)
            else:
                parse(data)

        return count

    @property
    def head(self) -> bytes:
        """The head of an answer with this rest as its body, for a parser that begins here."""
        if not self.has_length:
            return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % self.left_bytes
