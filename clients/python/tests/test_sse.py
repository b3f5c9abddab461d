"""Server-sent events by WHATWG's rules, however the bytes are cut."""

from __future__ import annotations

import pytest

from knowledge_base._sse import SseParser
from knowledge_base.errors import ProtocolError

BIG = 1 << 20


def parsed(data: bytes, size: int = BIG) -> list[tuple[str, str]]:
    parser = SseParser(line_limit_bytes=BIG, event_limit_bytes=BIG)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return [(event.name, event.data) for piece in pieces for event in parser.feed(piece)]


CASES: dict[bytes, list[tuple[str, str]]] = {
    b"data: a\n\n": [("message", "a")],
    b"event: x\ndata: a\n\n": [("x", "a")],
    b"event: x\r\ndata: a\r\n\r\nevent: y\rdata: b\r\r": [("x", "a"), ("y", "b")],
    b"\xef\xbb\xbfdata: a\n\n": [("message", "a")],
    b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n": [("message", "b")],
    b"\xefdata: a\n\ndata: b\n\n": [("message", "b")],
    b"data: a\n\n\xef\xbb\xbfdata: b\n\n": [("message", "a")],
    b"data:a\ndata:  b\ndata\ndata:\n\n": [("message", "a\n b\n\n")],
    b"data\n\n": [("message", "")],
    b"event: x\n\ndata: a\n\n": [("message", "a")],
    b": hello\n\n:\ndata: a\n:b\n\n": [("message", "a")],
    b"event: x\nevent\ndata: a\n\n": [("message", "a")],
    b"dat: a\nDATA: a\n data: a\ndata: b\n\n": [("message", "b")],
    b"\n\n\r\n\rdata: a\n\n\n": [("message", "a")],
    b"data: a\n\ndata: half": [("message", "a")],
    b"data: a\n": [],
    "data: é\u2028\u0085\x0b\x0c 😀\n\n".encode(): [("message", "é\u2028\u0085\x0b\x0c 😀")],
    b"data: \xff\xf0\x9f\n\n": [("message", "\ufffd\ufffd")],
    b"data: \0\n\n": [("message", "\0")],
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, BIG])
@pytest.mark.parametrize("data", CASES, ids=ascii)
def test_what_is_sent_is_read_wherever_it_is_cut(data: bytes, size: int) -> None:
    """Between CR and LF, in the middle of a letter, in the byte order mark."""
    assert parsed(data, size) == CASES[data]


def test_an_id_lasts_and_a_retry_is_kept() -> None:
    """Both are the stream's, not the event's; an id with NUL and a retry with letters are none."""
    parser = SseParser(line_limit_bytes=BIG, event_limit_bytes=BIG)
    data = b"id: 7\nretry: 30\ndata: a\n\nid: 8\0\nretry: 3x\ndata: b\n\nid\ndata: c\n\n"
    assert [event.last_id for event in parser.feed(data)] == ["7", "7", ""]
    assert parser.retry_ms == 30


@pytest.mark.parametrize(
    "data",
    [b"x" * 101, b"x" * 101 + b"\n", b"data: " + b"x" * 60 + b"\ndata: " + b"x" * 60 + b"\n"],
)
def test_what_is_too_large_is_refused(data: bytes) -> None:
    """Before it is kept whole: a line that never ends, and lines of one event that never end."""
    parser = SseParser(line_limit_bytes=100, event_limit_bytes=100)
    with pytest.raises(ProtocolError):
        parser.feed(data)


def test_what_just_fits_is_taken() -> None:
    """Limits are what still passes."""
    parser = SseParser(line_limit_bytes=106, event_limit_bytes=100)
    (event,) = parser.feed(b"data: " + b"x" * 100 + b"\n\n")
    assert event.data == "x" * 100
