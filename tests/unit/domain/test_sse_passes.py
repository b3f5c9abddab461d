"""The cheap way through the splitter says what the full parse says, whatever comes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain.sse import EventSplitter
from tests.unit.domain.event_parts import PARTS

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
