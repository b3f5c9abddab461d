"""The cheap way through the splitter says what the full parse says, whatever comes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.sse import EventSplitter

PARTS = st.sampled_from(
    [
        b"event: token\n",
        b"event: done\n",
        b"event: error\n",
        b"event: donex\n",
        b"event:token\n",
        b"event: \n",
        b'data: {"text":"a"}\n',
        b"data: done\n",
        b"data:\n",
        b"data: \r\n",
        b"data: x\ry\n",
        b"id: 7\n",
        b": ping\n",
        b"\n",
        b"\n\n",
        b"\r\n",
        b"\r",
        b"junk",
        b"\xef\xbb\xbf",
        b"event: token\ndata: {}\n\n",
        b"event: usage\ndata: {}\n\nevent: token\ndata: 1\n\n",
        b"event: done\ndata: {}\n\n",
    ]
)
READS = st.lists(st.lists(PARTS, min_size=1, max_size=4).map(b"".join), max_size=8)


@settings(max_examples=2000)
@given(READS)
def test_passing_agrees_with_the_full_parse(reads: list[bytes]) -> None:
    """Same bytes out, same number of events, same verdict: read by read."""
    cheap, full = EventSplitter(64), EventSplitter(64)
    for data in reads:
        events = cheap.passes(data)
        expected = full.feed(data)
        if events:
            assert expected.forward == data
            assert len(expected.types) == events
            assert expected.verdict is None
            assert not expected.excess
        else:
            assert cheap.feed(data) == expected
    assert cheap.finish() == full.finish()


def test_ordinary_events_do_pass() -> None:
    """Else the cheap way would agree by never being taken; the start is looked at in full."""
    splitter = EventSplitter()
    event = b'event: token\ndata: {"text":"hello"}\n\n'
    assert splitter.passes(event) == 0
    splitter.feed(event)
    assert splitter.passes(event) == 1
    assert splitter.passes(event * 3) == 3
    assert splitter.passes(event[:-1]) == 0
    assert splitter.passes(b"event: done\ndata: {}\n\n") == 0
