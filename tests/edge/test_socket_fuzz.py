"""Frames bent at random, on real sockets: whatever comes, an answer in order, an end, no fault."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.edge.observe import log_output

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, exchange, request, reset
from .sockets import Op, RawSocket, by_hand, close_frame, frame
from .stub_core import stub_core
from .test_logs import Lines, uncached

__all__ = ["uncached"]

BOTH_LOOPS = True
# GATEWAY_FUZZ_MINUTES=10 goes on for that long; without it some hundred talks are enough.
FUZZ_MINUTES = float(os.environ.get("GATEWAY_FUZZ_MINUTES", "0"))
TALKS = 300
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(FUZZ_MINUTES * 60 + 180),
]
CODES = {1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1011, 1013, 3000, 4000, 4999, 4401}


def said(**message: object) -> bytes:
    return json.dumps(message).encode()


TEXTS = [
    *(said(type="ask", id=name, query="hi") for name in ("1", "2", "3")),
    said(type="ask", id="1", query="hi", stream=False),
    said(type="ask", id="9", query=""),
    *(said(type="cancel", id=name) for name in ("1", "2", "x")),
    said(type="auth", token="x"),
    *(b"", b"{}", b"[]", b"null", b"{", b"\xff", b"\xc3", b'{"type":"ask","type":"ask"}'),
    *(b"[" * 200, b'{"id":' * 100, b"1" * 400, b'{"type":"ask","id":"\\ud800","query":"x"}'),
]


def one(chance: random.Random) -> bytes:
    """A frame, mostly a right one."""
    opcode = chance.choice(
        (
            *(Op.TEXT,) * 6,
            Op.CONTINUED,
            Op.CONTINUED,
            Op.BINARY,
            Op.PING,
            Op.PONG,
            Op.CLOSING,
            chance.randrange(16),
        )
    )
    if opcode == Op.CLOSING:
        code = chance.choice([*CODES, 999, 1004, 1006, 65535])
        return close_frame(code, chance.choice(("", "é", "x" * 123, "x" * 124)))
    data = chance.choice(TEXTS)
    if opcode in (Op.PING, Op.PONG):
        data = data[: chance.choice((0, 10, 125, 126))]
    fin, masked = chance.random() < 0.85, chance.random() < 0.97
    return frame(opcode, data, fin=fin, masked=masked)


def bent(chance: random.Random) -> bytes:
    """Some frames, with up to two places changed."""
    data = b"".join(one(chance) for _ in range(chance.randint(1, 8)))
    for _ in range(chance.choice((0, 0, 1, 2))):
        at = chance.randrange(len(data) + 1)
        some = chance.randbytes(chance.choice((0, 1, 1, 2, 8)))
        data = data[:at] + some + data[at + chance.choice((0, 0, 1, 2, 9)) :]
    return data


def pieces(chance: random.Random, data: bytes) -> list[bytes]:
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 1, 3))))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with stub_core() as core, running_gateway(core) as running:
        yield running


async def talk(gateway: Gateway, chance: random.Random, bearer: dict[str, str]) -> None:
    """One socket: what it is told is in order, and it ends when the client has said goodbye."""
    async with by_hand(gateway, **bearer) as socket:
        for piece in pieces(chance, bent(chance)):
            socket.send(piece)
            await asyncio.sleep(0)
        if chance.random() < 0.1:
            reset(socket.writer)
            return
        if chance.random() < 0.5:
            # What stands before may have made this a part of a frame: then a FIN ends it.
            socket.send(close_frame(1000))
        socket.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await checked(socket)


async def checked(socket: RawSocket) -> None:
    """Frames of a server to the end; at most one close, and nothing behind it."""
    try:
        while (told := await socket.next())[0] != Op.CLOSING:
            opcode, data = told
            assert opcode in (Op.TEXT, Op.PONG, Op.PING)
            if opcode == Op.TEXT:
                assert json.loads(data).keys() == {"id", "event", "data"}
    except asyncio.IncompleteReadError:
        return
    code = int.from_bytes(told[1][:2], "big")
    # A client's own code, which may be bent, comes back as it came.
    assert code in CODES or 3000 <= code < 5000 or not told[1]
    assert await socket.gone() == b""


async def test_bent_frames_never_cause_a_fault(gateway: Gateway, uncached: None) -> None:
    """However they are bent and cut: no error of ours in the log, and the gateway serves on."""
    bearer, seed = await gateway.bearer(), random.randrange(1 << 30)
    kept = Lines()
    log_output.configure("warning", "json", kept.stream)
    began, number = time.monotonic(), 0
    while number < TALKS or time.monotonic() - began < FUZZ_MINUTES * 60:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await talk(gateway, random.Random(seed + number), bearer)
        except BaseException as exc:
            raise AssertionError(f"seed {seed + number}: {exc!r}") from exc
        number += 1
    assert kept.text == ""
    assert (await exchange(gateway.address, request("GET", "/healthz"))).status == 200
    print(f"{number} talks")
