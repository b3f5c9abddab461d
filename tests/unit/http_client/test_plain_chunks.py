"""Whole chunks of plain events are recognised by a pattern, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.http_client.plain_chunks import plain_event_size, plain_run_size
from tests.unit.domain.event_parts import PARTS

TEXTS = st.binary(max_size=6).map(lambda text: b"event: token\ndata: " + text + b"\n\n")
EVENTS = st.one_of(TEXTS, st.lists(PARTS, max_size=4).map(b"".join))
CHUNKS = st.one_of(
    EVENTS.map(lambda event: b"%x\r\n%b\r\n" % (len(event), event)),
    st.tuples(st.integers(0, 40), EVENTS).map(lambda lie: b"%x\r\n%b\r\n" % lie),
)


@settings(max_examples=3000)
@given(CHUNKS)
def test_a_single_event_is_recognised_as_a_run_of_one(data: bytes) -> None:
    """The shortest way says what the general one says, and takes every event that is one."""
    size, matched = plain_event_size(data), plain_run_size(data, 1024)
    one = matched and data.count(b"\n\n") == 1
    assert size == (matched if one else 0)


@pytest.mark.parametrize("length", [0, 1, 200, 233, 234, 235, 236, 1990, 2010, 2047, 2048, 5000])
def test_every_length_of_an_event_passes_one_way_or_the_other(length: int) -> None:
    """Where the size gains a digit, and where the short way ends."""
    event = b"event: token\ndata: %b\n\n" % (b"x" * length)
    chunk = b"%x\r\n%b\r\n" % (len(event), event)
    assert plain_run_size(chunk, 1 << 20) == len(event)
    assert plain_event_size(chunk) in ([len(event)] if len(chunk) < 2048 else [0])
    assert plain_event_size(b"0" + chunk) == 0
