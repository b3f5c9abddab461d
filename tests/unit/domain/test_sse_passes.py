"""The cheap way through the splitter says what the full parse says, whatever comes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.plain_events import BEGUN_LIMIT_BYTES, plain_run
from gateway.domain.sse import EventSplitter, Fed, SseParser
from tests.unit.domain.event_parts import MIXED_ENDS, PARTS, bodies, cut

READS = st.lists(st.lists(PARTS, min_size=1, max_size=4).map(b"".join), max_size=8)
SPLIT_BODIES = bodies().flatmap(cut)
ENDS = [b"\n", b"\r\n", b"\r"]


class Parsing(EventSplitter):
    """The full parse of all that comes: what it holds it keeps."""

    __slots__ = ()

    def _take_back(self) -> None:
        """Its parser has seen everything."""


def agree(reads: list[bytes], limit_bytes: int) -> int:
    """Same bytes, events, verdict and signs of life, read by read; how many reads passed."""
    cheap, full = EventSplitter(limit_bytes), Parsing(limit_bytes)
    passes = 0
    for data in reads:
        passed = cheap.pass_plain(data)
        expected = full.feed(data)
        if passed is None:
            assert cheap.feed(data) == expected
        else:
            piece, events = passed
            passes += 1
            assert expected == Fed(piece, expected.types, alive=bool(piece))
            assert len(expected.types) == events
        assert cheap.held_bytes == full.held_bytes
        assert cheap.verdict == full.verdict
    assert cheap.finish() == full.finish()
    return passes


@settings(max_examples=800)
@given(READS)
def test_passing_agrees_with_the_full_parse(reads: list[bytes]) -> None:
    """Same bytes out, same number of events, same verdict: read by read."""
    agree(reads, 64)


@settings(max_examples=800)
@given(SPLIT_BODIES, st.sampled_from([16, 64, 1 << 20]))
def test_passing_agrees_with_the_full_parse_on_every_shape(
    reads: list[bytes], limit_bytes: int
) -> None:
    """Blocks of any fields, in any order, with any line ends, cut anywhere."""
    agree(reads, limit_bytes)


@settings(max_examples=800)
@given(bodies(), st.data())
def test_passing_agrees_with_the_full_parse_behind_a_whole_event(
    body: bytes, draw: st.DataObject
) -> None:
    """Where the short way is open: most streams are there all the time."""
    agree([b"data: x\n\n", *draw.draw(cut(body))], 1 << 20)


LINES = [
    name + colon + value
    for name in (b"event", b"data", b"id", b"", b"even", b"eventx", b"\xef\xbb\xbfevent")
    for colon in (b"", b":", b": ", b":  ")
    for value in (b"", b"done", b"error", b"x", b"done ")
    if name or colon
]


@pytest.mark.parametrize("end", ENDS)
def test_every_block_of_two_lines_has_one_verdict(end: bytes) -> None:
    """All pairs of lines there are: each spelling of an end among them, first and last."""
    for first in LINES:
        for second in LINES:
            block = first + end + second + end + end
            agree([b"data: x\n\n", block, block, block + first], 1 << 20)


def test_no_mixture_of_line_ends_hides_an_end() -> None:
    """A bare LF between lines that end in CR LF is a line end as good as theirs."""
    for sent in MIXED_ENDS:
        for at in range(len(sent) + 1):
            agree([b"data: x\n\n", sent[:at], sent[at:]], 1 << 20)


SHAPES = {
    "an event": b"event: token\ndata: {}\n\n",
    "data alone": b"data: {}\n\n",
    "no blank": b"event:token\ndata:{}\n\n",
    "an id": b"id: 7\nevent: token\ndata: {}\n\n",
    "retry": b"retry: 100\nevent: token\ndata: {}\n\n",
    "data first": b"data: {}\nevent: token\n\n",
    "several data lines": b"event: token\ndata: {\ndata\ndata: }\n\n",
    "an unknown field": b"foo\nevent: token\ndata: {}\nbar: 1\n\n",
    "a comment before": b": ping\n\nevent: token\ndata: {}\n\n",
    "a comment inside": b"event: token\n: ping\ndata: {}\n\n",
    "done as text": b"event: donex\ndata: event: done\ndata: error\n\n",
    "two names": b"event: a\nevent: b\ndata: {}\n\n",
    "no name": b"event\ndata: {}\n\n",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_does_pass(shape: str, end: bytes) -> None:
    """Else the cheap way would agree by never being taken; cut in two, both halves do."""
    event = SHAPES[shape].replace(b"\n", end)
    splitter = EventSplitter()
    assert splitter.pass_plain(event) is None  # a BOM may come: the start is looked at in full
    splitter.feed(event)
    assert splitter.pass_plain(event) == (event, 1)
    assert splitter.pass_plain(event * 3) == (event * 3, 3)
    for line_end in re.finditer(end, event[: -2 * len(end)]):
        at = line_end.end()
        # A comment is a sign of life, which what is held is not.
        if not re.search(rb"^:|[\r\n]:", event[: at + 1]):
            assert splitter.pass_plain(event + event[:at]) == (event, 1)
            assert splitter.pass_plain(event[at:]) == (event, 1)


@pytest.mark.parametrize("end", ENDS)
def test_events_of_all_shapes_pass_together_and_are_counted(end: bytes) -> None:
    """Neither comments between them nor lines of data are events."""
    comment, several = (b": beat\n\n").replace(b"\n", end), []
    for shape in SHAPES.values():
        event = shape.replace(b"\n", end)
        splitter = EventSplitter()
        splitter.feed(event)
        for run, events in ((event + comment + event, 2), (comment + event + comment, 1)):
            assert splitter.pass_plain(run) == (run, events)
            agree([event, run, run + event], 1 << 20)
        several.append(event)
    run = b"".join(several)
    assert splitter.pass_plain(run) == (run, len(several))
    assert splitter.pass_plain(comment) == (comment, 0)


def test_what_is_held_unparsed_is_small_and_looked_at_by_the_parser_in_the_end() -> None:
    """Else it would be joined and searched again and again."""
    splitter = EventSplitter()
    splitter.feed(b"data: x\n\n")
    assert splitter.pass_plain(b"data: " + b"x" * (BEGUN_LIMIT_BYTES - 6)) == (b"", 0)
    assert splitter.pass_plain(b"y") is None
    assert splitter.feed(b"y").forward == b""
    assert splitter.pass_plain(b"\n\n") is None
    fed = splitter.feed(b"\n\n")
    assert fed.forward == b"data: " + b"x" * (BEGUN_LIMIT_BYTES - 6) + b"y\n\n"
    assert splitter.at_boundary


def test_a_stream_whose_reads_never_end_at_a_boundary_comes_back_to_the_cheap_way() -> None:
    """A relay that is late reads pieces of a size that has nothing to do with its events'."""
    event = b"data: " + b"x" * (BEGUN_LIMIT_BYTES - 100) + b"\n\n"
    splitter = EventSplitter()
    splitter.feed(b"data: x\n\n")
    assert splitter.pass_plain(b"data: " + b"x" * BEGUN_LIMIT_BYTES) is None
    splitter.feed(b"data: " + b"x" * BEGUN_LIMIT_BYTES)
    fed = splitter.feed(b"\n\n" + event[:900])
    assert fed.forward.endswith(b"x\n\n")
    assert splitter.pass_plain(event[900:] + event[:99]) == (event, 1)


@pytest.mark.parametrize("at", range(1, 30))
def test_a_mark_of_order_is_looked_for_in_full_however_it_is_cut(at: int) -> None:
    """Behind one, a name that ends an answer is one: it must not pass as another field's."""
    sent = b"\xef\xbb\xbfevent: done\ndata: {}\n\n"
    agree([sent[:at], sent[at:]], 1 << 20)
    agree([sent[i : i + 1] for i in range(len(sent))], 1 << 20)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(
    "text", [b"a\n", b"data\n", b":\n", b"event: done\n", b"data: x\n\n", b"\n"]
)
def test_no_text_makes_the_pattern_try_for_long(text: bytes, end: bytes) -> None:
    """Each text is matched in one way: thirty thousand lines are thirty thousand steps."""
    many = (b"data: x\n\n" + text * 30_000 + b"event: done\ndata: x\n\nda").replace(b"\n", end)
    size, events = plain_run(many)
    assert len(SseParser(1 << 30).feed(many[:size] + end)) == events
