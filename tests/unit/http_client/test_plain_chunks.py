"""Whole chunks are taken apart without a parser, and nothing else is taken for them."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.plain_events import plain_run
from gateway.http_client.plain_chunks import plain_chunk, unchunked
from tests.unit.domain.event_parts import MIXED_ENDS, PARTS, bodies

TEXTS = st.binary(max_size=6).map(lambda text: b"event: token\ndata: " + text + b"\n\n")
EVENTS = st.one_of(TEXTS, st.lists(PARTS, max_size=4).map(b"".join), bodies(4))
CHUNKS = st.one_of(
    EVENTS.map(lambda event: b"%x\r\n%b\r\n" % (len(event), event)),
    EVENTS.map(lambda event: b"%X\r\n%b\r\n" % (len(event), event)),
    st.tuples(st.integers(0, 40), EVENTS).map(lambda lie: b"%x\r\n%b\r\n" % lie),
    st.tuples(EVENTS, EVENTS).map(lambda two: b"%x\r\n%b\r\n%b" % (len(two[0]), *two)),
)
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@settings(max_examples=800)
@given(CHUNKS)
def test_a_plain_chunk_is_one_whole_chunk_of_plain_events(data: bytes) -> None:
    """The shortest way says what the general one says, and takes every event that is one."""
    check_plain(data)


def test_no_mixture_of_line_ends_is_plain_in_a_chunk() -> None:
    """Alone, behind another event and before one."""
    event = b"data: x\n\n"
    for sent in MIXED_ENDS:
        for body in (sent, event + sent, sent + event, sent + sent):
            check_plain(b"%x\r\n%b\r\n" % (len(body), body))


def check_plain(data: bytes) -> None:
    body = unchunked(data)
    size = b"%x\r\n" % len(body)
    one = body and data in (size + body + b"\r\n", size.upper() + body + b"\r\n")
    size, events = plain_run(body) if one else (0, 0)
    # Behind comments alone no event is looked for.
    assert plain_chunk(data) == ((size, events) if events and size == len(body) else (0, 0))


@pytest.mark.parametrize("length", [0, 1, 200, 233, 234, 235, 236, 1990, 2010, 2047, 4096, 9000])
def test_every_length_of_an_event_passes_one_way_or_the_other(length: int) -> None:
    """Where the size gains a digit, and where the short way ends."""
    event = b"event: token\ndata: %b\n\n" % (b"x" * length)
    chunk = b"%x\r\n%b\r\n" % (len(event), event)
    assert unchunked(chunk) == event
    assert plain_chunk(chunk) == ((len(event), 1) if len(chunk) < 8192 else (0, 0))
    upper = b"%X" % len(event) + chunk[chunk.index(b"\r") :]
    assert plain_chunk(upper) == plain_chunk(chunk)
    assert plain_chunk(b"0" + chunk) == (0, 0)
    assert unchunked(b"0" + chunk) == event


class Body:
    """What the parser finds in a body that is framed so."""

    def __init__(self, framed: bytes) -> None:
        self.data = b""
        self.between = True
        self.faulty = False
        parser = httptools.HttpResponseParser(self)
        parser.feed_data(HEAD)
        try:
            parser.feed_data(framed)
        except httptools.HttpParserError:
            self.faulty = True

    def on_chunk_header(self) -> None:
        self.between = False

    def on_body(self, data: bytes) -> None:
        self.data += data

    def on_chunk_complete(self) -> None:
        self.between = True


SIZES = st.sampled_from([b"%x", b"%X", b"0%x", b"%d", b"+%x", b"0x%x", b" %x", b"%x ", b"%x;a=b"])


@settings(max_examples=800)
@given(st.lists(st.tuples(SIZES, st.integers(-1, 1), st.binary(max_size=20)), max_size=5))
def test_what_is_in_whole_chunks_is_what_the_parser_finds(
    chunks: list[tuple[bytes, int, bytes]],
) -> None:
    """However their sizes are spelled, and whether they are true."""
    framed = b"".join(
        size % (len(body) + lie * (len(body) % 3 == 0)) + b"\r\n" + body + b"\r\n"
        for size, lie, body in chunks
    )
    if body := unchunked(framed):
        parsed = Body(framed)
        assert (parsed.data, parsed.faulty, parsed.between) == (body, False, True)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1), st.booleans(), st.data())
def test_honest_chunks_are_all_taken_apart_and_half_ones_are_not(
    bodies: list[bytes], small: bool, draw: st.DataObject
) -> None:
    """Bytes that look like framing inside them change nothing."""
    size = b"%x\r\n%b\r\n" if small else b"%X\r\n%b\r\n"
    framed = b"".join(size % (len(body), body) for body in bodies)
    assert unchunked(framed) == b"".join(bodies)
    cut = draw.draw(st.integers(1, len(framed) - 1))
    ends = {len(b"".join(size % (len(b), b) for b in bodies[:n])) for n in range(len(bodies))}
    assert bool(unchunked(framed[:cut])) is (cut in ends)
    assert unchunked(framed + b"0\r\n\r\n") == b""
