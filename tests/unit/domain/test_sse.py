"""The SSE rules, checked against a slow reference at every split of every case."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.sse import (
    CONNECTED,
    PING,
    Event,
    EventSplitter,
    SseParser,
    event,
    terminal_event,
)
from gateway.errors import CoreTruncated, EventTooLarge, Forbidden

CASES: dict[str, tuple[bytes, list[tuple[str, str, str]]]] = {
    "one": (b"data: a\n\n", [("message", "a", "")]),
    "named": (b"event: token\ndata: {}\n\n", [("token", "{}", "")]),
    "type after data": (b"data: x\nevent: late\n\n", [("late", "x", "")]),
    "last type wins": (b"event: a\nevent: b\ndata: x\n\n", [("b", "x", "")]),
    "type is per event": (b"event: a\ndata: 1\n\ndata: 2\n\n", [
        ("a", "1", ""), ("message", "2", "")]),
    "cr": (b"event: t\rdata: a\r\rdata: b\r\r", [("t", "a", ""), ("message", "b", "")]),
    "crlf": (b"data: a\r\n\r\ndata: b\r\n\r\n", [("message", "a", ""), ("message", "b", "")]),
    "mixed ends": (b"data: a\ndata: b\r\ndata: c\r\n\ndata: d\n\r\n", [
        ("message", "a\nb\nc", ""), ("message", "d", "")]),
    "bom": (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
    "two boms": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
    "bom later": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [("message", "a", "")]),
    "half a bom": (b"\xef\xbbdata: a\n\n", []),
    "multi-line data": (b"data: a\ndata\ndata: b\n\n", [("message", "a\n\nb", "")]),
    "empty data": (b"data\n\n", [("message", "", "")]),
    "no data, no event": (b"event: done\n\n", []),
    "one space only": (b"data:  a\n\ndata:b\n\n", [("message", " a", ""), ("message", "b", "")]),
    "tab is kept": (b"data:\ta\n\n", [("message", "\ta", "")]),
    "colon in value": (b"data: a: b\n\n", [("message", "a: b", "")]),
    "case matters": (b"Data: a\n\nDATA: b\n\n", []),
    "space before colon": (b"data : a\n\n", []),
    "comment": (b": hi\n\n:\n:x\ndata: a\n: in between\n\n", [("message", "a", "")]),
    "id stays": (b"id: 1\ndata: a\n\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
    "id without data": (b"id: 1\n\ndata: a\n\n", [("message", "a", "1")]),
    "id with NUL": (b"id: 1\nid: 2\x00\ndata: a\n\n", [("message", "a", "1")]),
    "id emptied": (b"id: 1\nid\ndata: a\n\n", [("message", "a", "")]),
    "bad utf-8": (b"data: \xff\xe2\x82\ndata: \xe2\x82\xac\n\n", [("message", "��\n€", "")]),
    "unicode is no line end": ("data: a\u2028b\x0b\x0c\x85c\n\n".encode(), [
        ("message", "a\u2028b\x0b\x0c\x85c", "")]),
    "unknown field": (b"foo: bar\ndata: a\n\n", [("message", "a", "")]),
    "cut off": (b"data: a\n\ndata: b\n", [("message", "a", "")]),
    "cut at crlf": (b"data: a\r\n\r", [("message", "a", "")]),
    "blank lines": (b"\n\r\n\r\r\n\ndata: a\n\n\n\n", [("message", "a", "")]),
    "nothing": (b"", []),
}  # fmt: skip

PIECES = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\n\n", b"data", b"event", b":", b" ", b": c", b"data: x", b"id: 7",
     b"event: done", b"event: error", b"event: token", b"data: {}", b"\0", b"retry: 9",
     b"\xef\xbb\xbf", b"\xff", "€".encode(), b"event: done\ndata: 1\n\n"]
)  # fmt: skip
STREAMS = st.lists(PIECES, max_size=30).map(b"".join)


def reference(data: bytes) -> list[Event]:
    """The standard read aloud: the whole stream at once, no thought for speed."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    events: list[Event] = []
    kind, last_id = "", ""
    lines: list[str] = []
    for line in re.split("\r\n|\r|\n", text)[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if lines:
                events.append(Event(kind or "message", "\n".join(lines), last_id))
            kind, lines = "", []
        elif name == "data":
            lines.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return events


def parse(parts: list[bytes]) -> list[Event]:
    parser = SseParser()
    events = [event for part in parts for event in parser.feed(part)]
    return events + parser.finish()


def splits(data: bytes) -> list[list[bytes]]:
    two = [[data[:i], data[i:]] for i in range(len(data) + 1)]
    return [*two, [data[i : i + 1] for i in range(len(data))]]


def split(parts: list[bytes], **limits: int) -> tuple[bytes, list[str], str | None, str, bool]:
    splitter = EventSplitter(**limits)
    forward, types, error, excess = b"", [], "", False
    for fed in [*map(splitter.feed, parts), splitter.finish()]:
        forward += fed.forward
        types += fed.types
        error = error or fed.error_data
        excess = excess or fed.excess
    return forward, types, splitter.verdict, error, excess


@pytest.mark.parametrize("name", CASES)
def test_every_split_gives_the_events_of_the_standard(name: str) -> None:
    """Where the bytes are cut changes nothing."""
    data, expected = CASES[name]
    want = [Event(*one) for one in expected]
    assert reference(data) == want
    for parts in splits(data):
        assert parse(parts) == want, parts


@given(STREAMS, st.data())
def test_any_stream_cut_anywhere_reads_as_the_reference_reads_it(
    data: bytes, draw: st.DataObject
) -> None:
    """The incremental parser and the slow one never disagree."""
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert parse(parts) == reference(data)
    assert parse([data[i : i + 1] for i in range(len(data))]) == reference(data)


@given(STREAMS, st.data())
def test_the_splitter_gives_one_verdict_whatever_the_cuts(data: bytes, draw: st.DataObject) -> None:
    """Forwarded bytes, types, verdict and the core's error are the same at every split."""
    whole = split([data])
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    parts = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    for cut in (parts, [data[i : i + 1] for i in range(len(data))]):
        got = split(cut)
        assert got[1:4] == whole[1:4]
        if whole[2] == "done":
            # A lone LF cut off from `done`'s blank line says nothing and is dropped.
            assert got[0].rstrip(b"\r\n") == whole[0].rstrip(b"\r\n")
        else:
            assert got[0] == whole[0]


@given(STREAMS)
def test_what_is_forwarded_reads_as_the_events_before_the_end(data: bytes) -> None:
    """No half event passes, none is lost, nothing behind the end passes."""
    want: list[Event] = []
    for one in reference(data):
        if one.type == "error":
            break
        want.append(one)
        if one.type == "done":
            break
    forward, types, _, _, _ = split([data[i : i + 1] for i in range(len(data))])
    # Behind a comment of ours, as on the wire: the core's BOM must not end in mid-stream.
    assert reference(CONNECTED + forward) == want
    assert types == [one.type for one in want]


@given(STREAMS, st.integers(0, 200))
def test_a_ping_on_a_boundary_changes_no_event(data: bytes, at: int) -> None:
    """At whatever moment the gateway adds a comment, the client reads the same events."""
    splitter = EventSplitter()
    out = b""
    for i in range(len(data)):
        out += splitter.feed(data[i : i + 1]).forward
        if i == at:
            out += PING
    out += splitter.finish().forward
    # Behind our first comment, as on the wire, where a second BOM of the core stays what it is.
    assert reference(CONNECTED + out) == reference(CONNECTED + split([data])[0])


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_complete_event_is_forwarded_at_once(end: bytes) -> None:
    """No event waits for the next one to come."""
    splitter = EventSplitter()
    event_bytes = b"event: token" + end + b"data: x" + end + end
    for _ in range(3):
        assert splitter.feed(event_bytes).forward.strip(b"\n") == event_bytes.strip(b"\n")


def test_a_crlf_event_is_never_forwarded_without_its_last_byte() -> None:
    """A client that looks for the four bytes of CR LF CR LF finds them, `done` included."""
    data = b"event: token\r\ndata: a\r\n\r\nevent: done\r\ndata: b\r\n\r\n"
    splitter = EventSplitter()
    pieces = [splitter.feed(data[i : i + 1]).forward for i in range(len(data))]
    assert [piece for piece in pieces if piece] == [data[:25], data[25:]]


def test_comments_pass_at_their_line_end_and_show_life() -> None:
    """A core's heartbeat reaches the client even if no blank line follows it."""
    splitter = EventSplitter()
    fed = splitter.feed(b": beat\n")
    assert (fed.forward, fed.alive, fed.types) == (b": beat\n", True, ())
    half = splitter.feed(b"data: ha")
    assert (half.forward, half.alive) == (b"", False)
    inside = splitter.feed(b"lf\n: beat\n")
    assert (inside.forward, inside.alive) == (b"", True)


@pytest.mark.parametrize(
    "parts", splits(b'event: done\ndata: {"a":1}\n\nevent: token\ndata: x\n\n')
)
def test_what_follows_done_is_dropped_in_the_same_chunk_too(parts: list[bytes]) -> None:
    """``done`` is the last thing a client sees."""
    forward, types, verdict, _, excess = split(parts)
    assert (forward, types, verdict) == (b'event: done\ndata: {"a":1}\n\n', ["done"], "done")
    assert excess


def test_empty_lines_after_done_are_no_excess() -> None:
    """Some cores end with a line more than needed."""
    assert split([b"event: done\ndata: 1\n\n", b"\n\r\n"])[4] is False


@pytest.mark.parametrize(
    "parts", splits(b'data: a\n\nevent: error\ndata: {"x":\ndata: 1}\n\ndata: b\n\n')
)
def test_a_cores_error_event_is_handed_out_and_not_forwarded(parts: list[bytes]) -> None:
    """Its data is there to be replaced; what came before passes."""
    forward, types, verdict, error, _ = split(parts)
    assert (forward, types, verdict) == (b"data: a\n\n", ["message"], "error")
    assert error == '{"x":\n1}'


@pytest.mark.parametrize("size", [9, 10, 11, 25])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_an_event_over_the_limit_is_oversize_at_every_split(size: int, end: bytes) -> None:
    """Whether it comes whole or in bits; those before it pass, it does not."""
    small, line = b"data: a" + end + end, b"x" * (size - len(end)) + end
    data = small + line + end + small
    for parts in splits(data):
        forward, _, verdict, _, _ = split(parts, limit_bytes=10)
        if size > 10:
            assert (forward.strip(), verdict) == (small.strip(), "oversize"), parts
        else:
            assert (forward, verdict) == (data, None), parts


def test_the_parser_gives_what_came_before_an_oversize_event_and_then_raises() -> None:
    """The error never swallows good events, and stays."""
    parser = SseParser(limit_bytes=10)
    assert len(parser.feed(b"data: a\n\ndata: much too long\n\n")) == 1
    for _ in range(2):
        with pytest.raises(EventTooLarge):
            parser.feed(b"data: b\n\n")


def test_an_endless_line_is_not_searched_again_and_again() -> None:
    """One byte at a time costs one look a byte: a megabyte is read before this test times out."""
    splitter = EventSplitter()
    for _ in range(300_000):
        splitter.feed(b"x")
    assert splitter.held_bytes == 300_000


@pytest.mark.parametrize(
    ("line", "want"),
    [(b"retry: 150", 150), (b"retry: 1x", None), (b"retry: -1", None), (b"retry:", None),
     ("retry: ٣".encode(), None), (b"retry: " + b"9" * 5000, 999_999_999)],
)  # fmt: skip
def test_retry_takes_ascii_digits_only(line: bytes, want: int | None) -> None:
    """Anything else leaves the reconnection time as it was."""
    parser = SseParser()
    parser.feed(line + b"\n\n")
    assert parser.retry_ms == want


def test_the_terminal_event_is_one_whole_event_in_the_error_shape() -> None:
    """Our code, message, request id; a detail cannot replace the id, a newline cannot cut it."""
    error = Forbidden("no\n\nway\r", details={"decision_id": "d", "request_id": "forged"})
    (read,) = reference(terminal_event(error, "r-1"))
    assert read.type == "error"
    assert json.loads(read.data) == {
        "error": {
            "code": "FORBIDDEN",
            "message": "no\n\nway\r",
            "details": {"decision_id": "d", "request_id": "r-1"},
        }
    }


def test_a_terminal_event_behind_forwarded_bytes_is_read_as_such() -> None:
    """It falls on a boundary: the half event before it was held back."""
    forward = split([b"data: a\r\r", b"data: ha"])[0]
    events = reference(forward + terminal_event(CoreTruncated(), "r"))
    assert [one.type for one in events] == ["message", "error"]


def test_an_event_of_ours_is_what_the_parser_reads() -> None:
    """``event`` writes what ``SseParser`` reads."""
    assert parse([event("token", b'{"text":"a"}')]) == [Event("token", '{"text":"a"}', "")]
