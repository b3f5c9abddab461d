"""Events become messages: each one frame, its data as it came, all of one piece at once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.event_messages import EventMessages
from gateway.domain.websocket import text_head

FIRST = b"event: meta\ndata: {}\n\n"


def messages(frames: bytes) -> Iterator[dict[str, object]]:
    """Of whole text frames, not masked: what a server sends."""
    while frames:
        assert frames[0] == 0x81
        size, start = frames[1], 2
        if size == 126:
            size, start = int.from_bytes(frames[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(frames[2:10], "big"), 10
        yield json.loads(frames[start : start + size])
        frames = frames[start + size :]


def told(*pieces: bytes, question_id: str = "q") -> list[tuple[object, object]]:
    made = EventMessages(json.dumps(question_id).encode())
    found = [message for piece in pieces for message in messages(made.frames(piece))]
    assert {message["id"] for message in found} <= {question_id}
    return [(message["event"], message["data"]) for message in found]


def test_data_goes_into_its_message_as_it_came() -> None:
    """Not read and written again: blanks, long numbers and escapes stay."""
    made = EventMessages(b'"q"')
    made.frames(FIRST)
    data = '{"a": 1.000000000000000000001, "b":"\\u00e9ü"}'.encode()
    frames = made.frames(b"event: token\ndata: " + data + b"\n\n")
    assert frames[2:] == b'{"id":"q","event":"token","data":' + data + b"}"


@pytest.mark.parametrize(
    "piece",
    [
        b"event: token\ndata: {}\n\n",
        b"event:token\ndata:{}\n\n",
        b"event: token\r\ndata: {}\r\n\r\n",
        b"event: token\rdata: {}\r\r",
        b"id: 7\ndata: {}\nevent: token\n\n",
        b"event: token\ndata: {\ndata: }\n\n",
        b": beat\n\nevent: token\n: beat\ndata: {}\n\n",
        b"event: other\nevent: token\ndata: {}\n\n",
    ],
)
def test_an_event_is_the_same_however_it_is_written(piece: bytes) -> None:
    for pieces in ((piece,), (FIRST, piece), (FIRST, piece * 3)):
        expected = [("meta", {})] * (pieces[0] is FIRST)
        expected += [("token", {})] * (3 if pieces[-1] == piece * 3 else 1)
        assert told(*pieces) == expected


def test_an_event_without_a_name_is_a_message() -> None:
    """By the standard of server-sent events, and on every way through."""
    assert told(b"data: 1\n\n", b"data: 2\n\n") == [("message", 1), ("message", 2)]


def test_a_byte_order_mark_counts_at_the_beginning_alone() -> None:
    marked = b"\xef\xbb\xbfdata: 1\n\n"
    assert told(marked, FIRST, marked) == [("message", 1), ("meta", {})]


def test_comments_are_no_messages() -> None:
    assert told(b": connected\n\n", FIRST, b": ping\n\n") == [("meta", {})]


@pytest.mark.parametrize(
    "data", [b"hello", b"NaN", b"{", b"{} x", b"'a'", b'"\x01"', b"", b"[" * 5000]
)
def test_data_that_is_not_json_breaks_the_answer_behind_what_came_before(data: bytes) -> None:
    for first in (b"", FIRST):
        made = EventMessages(b'"q"')
        made.frames(first)
        frames = made.frames(FIRST + b"event: x\ndata: %b\n\n" % data + FIRST)
        assert [message["event"] for message in messages(frames)] == ["meta"]
        assert made.broken


def test_bytes_that_are_no_utf_8_are_replaced_as_the_standard_says() -> None:
    """A text frame must be UTF-8, or the client closes the socket."""
    for first in ((), (FIRST,)):
        assert told(*first, b'data: "a\xffb"\n\n')[-1] == ("message", "a\ufffdb")


def test_names_and_ids_are_written_as_json() -> None:
    """Whatever stands in them, no message can be made to say something else."""
    name = 'x","data":1,"y":"'
    piece = f"event: {name}\ndata: {{}}\n\n".encode()
    assert told(FIRST, piece, question_id='"\\é')[1] == (name, {})


@given(st.integers(0, 70_000))
def test_a_frame_says_how_long_it_is(size: int) -> None:
    data = b'"' + b"x" * size + b'"'
    assert told(FIRST, b"event: t\ndata: " + data + b"\n\n")[1] == ("t", "x" * size)


def test_the_longest_frames_have_eight_bytes_of_length() -> None:
    assert text_head(1 << 16) == b"\x81\x7f" + (1 << 16).to_bytes(8, "big")
    assert text_head((1 << 16) - 1) == b"\x81\x7e\xff\xff"
