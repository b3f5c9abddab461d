"""What is taken for a request, and what is refused, whatever pieces it comes in."""

from __future__ import annotations

import os
import re
import time
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.domain.wire import ChunkedBody, Head, end_of_head, read_head
from gateway.errors import GatewayError
from tests.unit.domain import wire_cases, wire_reference
from tests.unit.domain.wire_cases import Case
from tests.unit.domain.wire_reference import Reading

# GATEWAY_FUZZ_MINUTES=10 fuzzes each property that long; without it a few hundred examples do.
FUZZ_MINUTES = float(os.environ.get("GATEWAY_FUZZ_MINUTES", "0"))
FUZZING = settings(
    max_examples=5_000 if FUZZ_MINUTES else 400,
    deadline=None,
    derandomize=not FUZZ_MINUTES,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class Reader:
    """Reads one request from bytes that come piece by piece, as the connection does."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.looked_at = 0
        self.head: Head | None = None
        self.chunks = ChunkedBody()
        self.body = b""
        self.skipped = False

    def feed(self, piece: bytes) -> None:
        """Raises ``GatewayError`` when the request is refused."""
        self.buffer += piece
        if self.head is None and not self._found_head():
            return
        assert self.head is not None
        if self.head.chunked:
            self.body += self.chunks.take(self.buffer)
            return
        missing = (self.head.length or 0) - len(self.body)
        self.body += self.buffer[:missing]
        del self.buffer[:missing]

    @property
    def whole(self) -> bool:
        """What comes after a whole request is the next one's."""
        if self.head is None:
            return False
        if self.head.chunked:
            return self.chunks.ended
        return len(self.body) == (self.head.length or 0)

    def _found_head(self) -> bool:
        if not self.skipped and self.buffer[:2] == b"\r\n":
            del self.buffer[:2]
            self.skipped = True
        end = end_of_head(self.buffer, self.looked_at)
        self.looked_at = len(self.buffer)
        if end is None:
            return False
        self.head = read_head(bytes(self.buffer[:end]))
        del self.buffer[: end + 4]
        return True


def read_in(pieces: list[bytes]) -> Reading | GatewayError | None:
    """``None``: refused by nobody, and not whole."""
    reader = Reader()
    try:
        for piece in pieces:
            if not reader.whole:
                reader.feed(piece)
    except GatewayError as refusal:
        return refusal
    head = reader.head
    if head is None or not reader.whole:
        return None
    return Reading(
        head.method.encode(),
        head.target.encode(),
        head.version.encode(),
        tuple((n.encode(), v.encode("utf-8", "surrogateescape")) for n, v in head.fields),
        head.keep_alive,
        reader.body if head.chunked or head.length is not None else None,
        bytes(reader.buffer),
    )


def every_way(data: bytes) -> list[list[bytes]]:
    """Whole, cut once at many points, and byte by byte."""
    step = max(1, len(data) // 64)
    halves = [[data[:at], data[at:]] for at in range(1, len(data), step)]
    return [[data], *halves, [data[at : at + 1] for at in range(len(data))]]


@pytest.mark.parametrize(
    "case", [c for c in wire_cases.BAD if c.status != 413], ids=lambda case: case.name
)
def test_a_bad_request_is_refused_in_whatever_pieces(case: Case) -> None:
    """The verdict is the same for every way of cutting the bytes."""
    for pieces in every_way(case.data):
        verdict = read_in(pieces)
        assert isinstance(verdict, GatewayError), pieces
        assert (verdict.status, verdict.code) == (case.status, case.code)


@pytest.mark.parametrize("case", wire_cases.GOOD, ids=lambda case: case.name)
def test_a_good_request_is_read_in_whatever_pieces(case: Case) -> None:
    """What is read is what the slow reference reads, and what follows is left alone."""
    expected = wire_reference.read(case.data + b"GET / next")
    assert expected is not None
    assert (expected.body or b"", expected.rest) == (case.body, b"GET / next")
    for pieces in every_way(case.data):
        verdict = read_in([*pieces, b"GET / next"])
        if isinstance(verdict, Reading):
            verdict = _with_rest(verdict, b"GET / next")
        assert verdict == expected, pieces


def _with_rest(reading: Reading, rest: bytes) -> Reading:
    """The reader stops taking pieces once it is whole; what it has over begins the next one."""
    assert rest.startswith(reading.rest)
    return Reading(
        reading.method,
        reading.target,
        reading.version,
        reading.fields,
        reading.keep_alive,
        reading.body,
        rest,
    )


def test_a_refused_chunk_stays_refused() -> None:
    """Asking again gives the same answer: there is no way past it."""
    body = ChunkedBody()
    buffer = bytearray(b"2\r\n{}x\r\n0\r\n\r\n")
    for _ in range(3):
        with pytest.raises(GatewayError):
            body.take(buffer)


def test_a_length_beyond_all_limits_is_a_number_still() -> None:
    """8,000 digits are read without making an integer of them, and are too many for any limit."""
    head = read_head(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 8000)
    assert head.length is not None
    assert head.length >= 10**18


@pytest.mark.parametrize(
    ("version", "lines", "kept"),
    [
        (b"1.1", [], True),
        (b"1.1", [b"Connection: close"], False),
        (b"1.1", [b"Connection: Keep-Alive, TE"], True),
        (b"1.1", [b"Connection: TE , CLOSE"], False),
        (b"1.1", [b"Connection: close", b"Connection: keep-alive"], False),
        (b"1.1", [b"Connection: Upgrade", b"Upgrade: websocket"], True),
        (b"1.0", [], False),
        (b"1.0", [b"Connection: keep-alive"], True),
        (b"1.0", [b"Connection: keep-alive, close"], False),
        (b"1.0", [b"Connection: \xe2\x84\xaaeep-alive"], False),
    ],
)
def test_a_connection_is_kept_as_the_client_says(
    version: bytes, lines: list[bytes], kept: bool
) -> None:
    """RFC 9112, 9.3: ``close`` wins wherever it stands; HTTP/1.0 has to ask to be kept."""
    head = b"\r\n".join([b"GET / HTTP/" + version, b"Host: x", *lines])
    assert read_head(head).keep_alive is kept


# --- fuzzing ----------------------------------------------------------------------------------

FRAGMENTS = [
    *(case.data for case in [*wire_cases.BAD, *wire_cases.GOOD] if len(case.data) < 400),
    *b"GET|POST|OPTIONS|CONNECT|/|*|/a?b|#|http://|gateway.test|Host: |Host: a|:| |\t|\0".split(
        b"|"
    ),
    *b'HTTP/1.1|HTTP/1.0|\x80|\xff|\x7f|%|%41|[::1]|@|,|;|=|"|\\|close|keep-alive|chunked'.split(
        b"|"
    ),
    "\N{KELVIN SIGN}".encode(),
    *b"\r\n|\r|\n|\r\n\r\n|Connection: |Transfer-Encoding: |Content-Length: |Expect: ".split(b"|"),
    *b'100-continue|0|1|2|a|F|10|0x|+|-|_|\xd9\xa5|{}|;a=b|;a="b"|X: y\r\n|0\r\n\r\n'.split(b"|"),
]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request out of the tables with some pieces put in, taken out, or put twice."""
    cases = [case.data for case in [*wire_cases.GOOD, *wire_cases.BAD] if len(case.data) < 400]
    data = draw(st.sampled_from(cases))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.sampled_from([0, 0, 0, 1, 1, 2, 5, 20])))
        piece = draw(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=3)))
        data = data[:at] + piece + data[until:]
    return data


@st.composite
def cut_requests(draw: st.DrawFn) -> list[bytes]:
    data = draw(requests())
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=6)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def fuzz(strategy: st.SearchStrategy[Any]) -> Any:
    """``@given`` for a few hundred fixed examples, or for ``GATEWAY_FUZZ_MINUTES``."""

    def decorate(test: Any) -> Any:
        round_of_it = FUZZING(given(strategy)(test))
        if not FUZZ_MINUTES:
            return round_of_it

        @pytest.mark.timeout(FUZZ_MINUTES * 60 + 300)
        def for_minutes() -> None:
            until = time.monotonic() + FUZZ_MINUTES * 60
            while time.monotonic() < until:
                round_of_it()

        for_minutes.__doc__ = test.__doc__
        return for_minutes

    return decorate


@fuzz(cut_requests())
def test_rules_and_reference_agree(pieces: list[bytes]) -> None:
    """In whatever pieces: the same request with the same rest, or refused by both."""
    data = b"".join(pieces)
    expected = wire_reference.read(data)
    verdict = read_in(pieces)
    if isinstance(verdict, Reading):
        assert expected is not None
        assert data.endswith(expected.rest)
        assert expected.rest.startswith(verdict.rest)
        assert _with_rest(verdict, expected.rest) == expected
    else:
        # The reference takes what is not whole for refused.
        assert expected is None


@fuzz(cut_requests())
def test_a_verdict_does_not_depend_on_the_cuts(pieces: list[bytes]) -> None:
    """Whole or in pieces: taken both times, or not."""
    whole = read_in([b"".join(pieces)])
    cut = read_in(pieces)
    assert isinstance(whole, GatewayError) == isinstance(cut, GatewayError)
    assert isinstance(whole, Reading) == isinstance(cut, Reading)


@fuzz(requests())
def test_what_we_take_h11_reads_the_same_way(data: bytes) -> None:
    """A second opinion from a reader we did not write: no request we take is another to it."""
    ours = read_in([data])
    if not isinstance(ours, Reading) or ours.target == b"*":
        return
    # h11 takes no chunk size of more than 20 digits, whatever they are.
    if b"0" * 18 in data:
        return
    # It judges the names of trailers as those of a head; here all of them are dropped.
    if re.search(rb"\n0+(;[^\r\n]*)?\r\n(?!\r\n)", data):
        return
    theirs = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    # The empty line that RFC 9112, 2.2, would have forgiven is an error to h11.
    theirs.receive_data(data.removeprefix(b"\r\n"))
    asked = theirs.next_event()
    assert isinstance(asked, h11.Request)
    assert (asked.method, asked.http_version) == (ours.method, ours.version)
    assert [(name, trimmed) for name, trimmed in asked.headers if name != b"transfer-encoding"] == [
        field for field in ours.fields if field[0] != b"transfer-encoding"
    ]
    body = b""
    while not isinstance(event := theirs.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data), event
        body += event.data
    assert body == (ours.body or b"")
    assert theirs.trailing_data[0] == ours.rest
