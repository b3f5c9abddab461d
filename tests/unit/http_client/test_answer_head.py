"""What an answer may begin with, and what may come round its body, cut anywhere."""

from __future__ import annotations

import httpx
import pytest

from gateway.http_client.answer_head import FRAMING_LIMIT_BYTES
from gateway.http_client.exchange import Exchange
from gateway.http_client.slots import Slots

from .scripted import CHUNKED, OK


def fed(answer: bytes, step_bytes: int = 1 << 20) -> Exchange:
    """An exchange that was given ``answer`` in reads of that size."""
    slot = Slots(1).take()
    assert slot is not None
    exchange = Exchange(slot, 1 << 16)
    for at in range(0, len(answer), step_bytes):
        exchange.feed(answer[at : at + step_bytes])
    return exchange


CODED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: %b\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
NO_ANSWERS = {
    "gzip, then chunked": CODED % b"gzip, chunked",
    "chunked, then gzip": CODED % b"chunked, gzip",
    "an unknown coding": CODED % b"xchunked",
    "identity": CODED % b"identity",
    "chunked twice": CODED % b"chunked, chunked",
    "chunked twice, in two lines": CODED % b"chunked\r\nTransfer-Encoding: chunked",
    "chunked with a parameter": CODED % b"chunked;q=1",
    "an empty coding before it": CODED % b", chunked",
    "chunked in HTTP/1.0": (CODED % b"chunked").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/0.9": OK.replace(b"HTTP/1.1", b"HTTP/0.9"),
    "HTTP/1.2": OK.replace(b"HTTP/1.1", b"HTTP/1.2"),
    "HTTP/2.0": OK.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "http/1.1": OK.replace(b"HTTP/1.1", b"http/1.1"),
    "RTSP": OK.replace(b"HTTP/1.1", b"RTSP/1.0"),
    "RTSP behind an interim head": b"HTTP/1.1 102 X\r\n\r\n" + OK.replace(b"HTTP", b"RTSP"),
    "ICE": OK.replace(b"HTTP/1.1", b"ICE/1.0"),
    "an empty line first": b"\r\n" + OK,
    "status 000": OK.replace(b"200", b"000"),
    "status 600": OK.replace(b"200", b"600"),
    "another protocol, unasked": b"HTTP/1.1 101 X\r\n\r\n" + OK,
}


@pytest.mark.parametrize("step_bytes", [1, 1 << 20], ids=["byte by byte", "at once"])
@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
async def test_what_is_no_answer_of_http_1_fails_before_its_head_is_out(
    answer: bytes, step_bytes: int
) -> None:
    """Nobody sees a status, a header or a byte of it, and its connection serves nobody else."""
    exchange = fed(answer, step_bytes)
    with pytest.raises(httpx.RemoteProtocolError):
        await exchange.headed(5)
    with pytest.raises(httpx.RemoteProtocolError):
        await exchange.read(5)
    assert (exchange.status, exchange.complete) == (0, False)


@pytest.mark.parametrize("step_bytes", [1, 7, 1 << 20])
async def test_an_answer_is_read_alike_in_any_pieces(step_bytes: int) -> None:
    """Interim heads, the answer's own and a short trailer; ``Chunked`` is ``chunked``."""
    answer = (
        b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: Chunked\r\n\r\n"
        b"5;a=b\r\nhello\r\n0\r\nTrailer: x\r\n\r\n"
    )
    exchange = fed(answer, step_bytes)
    await exchange.headed(5)
    assert (exchange.status, exchange.reason) == (200, b"Fine")
    assert exchange.headers == [(b"Transfer-Encoding", b"Chunked")]
    assert (exchange.complete, exchange.keep_alive, exchange.excess) == (True, True, False)


LONG = b"x" * 100_000
ENDLESS = {
    "a header": b"HTTP/1.1 200 OK\r\nA: %b\r\nContent-Length: 2\r\n\r\nok" % LONG,
    "many headers": b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\n\r\nok" % (b"A: b\r\n" * 20_000),
    "a reason": b"HTTP/1.1 200 %b\r\nContent-Length: 2\r\n\r\nok" % LONG,
    "interim heads": b"HTTP/1.1 102 Processing\r\n\r\n" * 4_000 + OK,
    "a trailer": CHUNKED + b"2\r\nok\r\n0\r\nA: %b\r\n\r\n" % LONG,
    "many trailers": CHUNKED + b"2\r\nok\r\n0\r\n%b\r\n" % (b"A: b\r\n" * 20_000),
}


@pytest.mark.parametrize("step_bytes", [1000, 1 << 20], ids=["in pieces", "at once"])
@pytest.mark.parametrize("answer", ENDLESS.values(), ids=ENDLESS.keys())
async def test_what_comes_round_a_body_has_a_limit(answer: bytes, step_bytes: int) -> None:
    """However it is cut: a read that brings all of it at once passes no more than many do."""
    exchange = fed(answer, step_bytes)
    assert (type(exchange.error), exchange.complete) == (httpx.RemoteProtocolError, False)


async def test_a_trailer_or_a_size_line_that_never_ends_is_cut_off_soon() -> None:
    """A line that is not whole yet is collected by the parser: it counts as it comes."""
    for begun in (b"0\r\nA: ", b"5;a="):
        exchange = fed(CHUNKED + b"2\r\nok\r\n" + begun)
        fed_bytes = 0
        while exchange.error is None and fed_bytes < 1 << 20:
            exchange.feed(b"x" * 100)
            fed_bytes += 100
        assert FRAMING_LIMIT_BYTES < fed_bytes < FRAMING_LIMIT_BYTES + 200
