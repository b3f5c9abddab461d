"""What a core's answer may begin with: looked at before, and as, the parser reads it.

The parser takes more than HTTP/1: other versions, RTSP, any list of transfer codings, of which it
undoes one; and it collects a header of any length. What is taken here is what RFC 9112 has a
server send to a client that asked by HTTP/1.1 and named no coding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

HEAD_LIMIT_BYTES = 64 * 1024
# In a row without a byte of the body between them: a trailer, or the extensions of a chunk's size.
FRAMING_LIMIT_BYTES = 16 * 1024

_VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")
_VERSION_BYTES = 9
# A status outside 100 to 599 is none (RFC 9110, 15). 101 is an answer to an Upgrade nobody asked.
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (?!101)[1-5][0-9]{2}[ \r]")


class BadHead(ValueError):
    """The head, or what there is of it, is none that a client of HTTP/1.1 may be sent."""


def end_of_head(buffer: bytes, looked_at: int, allowed_bytes: int) -> int | None:
    """Where the head ends that ``buffer`` begins with, its empty line counted; ``None``: not yet.

    Args:
        looked_at: how many bytes were there at the last call; they are not searched again.
        allowed_bytes: how long it may be.

    Raises:
        BadHead: it is longer, or begins with no status line of HTTP/1.0 or HTTP/1.1.
    """
    if not buffer.startswith(_VERSIONS) and not _may_become_a_version(buffer):
        raise BadHead("no status line of HTTP/1")
    end = buffer.find(b"\r\n\r\n", max(0, looked_at - 3))
    if end + 4 > allowed_bytes or (end < 0 and len(buffer) > allowed_bytes):
        raise BadHead("head too large")
    if end < 0:
        return None
    if _STATUS_LINE.match(buffer) is None:
        raise BadHead("no status that an answer can have")
    return end + 4


def _may_become_a_version(buffer: bytes) -> bool:
    begun = buffer[:_VERSION_BYTES]
    return len(begun) < _VERSION_BYTES and any(one.startswith(begun) for one in _VERSIONS)


def check_codings(headers: Iterable[tuple[bytes, bytes]], version: str) -> bool:
    """Whether the body is chunked.

    A coding that is not undone would reach the client, framing and all.

    Raises:
        BadHead: it has another transfer coding, or ``chunked`` more than once, or in HTTP/1.0,
            which has none (RFC 9112, 6.1).
    """
    codings = [value for name, value in headers if name.lower() == b"transfer-encoding"]
    if not codings:
        return False
    if version != "1.1" or [one.strip(b" \t").lower() for one in codings] != [b"chunked"]:
        raise BadHead("a transfer coding other than one chunked")
    return True
