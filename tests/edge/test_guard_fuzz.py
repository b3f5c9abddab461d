"""Requests bent at random, on real sockets: an answer for each one the slow reference reads."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.unit.domain import wire_reference
from tests.unit.domain.wire_cases import BAD, GOOD

from .conftest import Gateway, running_gateway
from .raw import TIMEOUT_S, read_answer
from .stub_core import stub_core

BOTH_LOOPS = True
# GATEWAY_FUZZ_MINUTES=10 goes on for that long; without it some hundred talks are enough.
FUZZ_MINUTES = float(os.environ.get("GATEWAY_FUZZ_MINUTES", "0"))
TALKS = 300
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(FUZZ_MINUTES * 60 + 180),
]
SMALL = [case.data for case in [*GOOD, *BAD] if len(case.data) < 400 and case.status != 413]
PIECES = [
    *b"\r\n|\n|\r|\r\n\r\n| |\t|:|\0|\x80|0|1|a|{}|chunked|,|;a=b|HTTP/1.0|X: y\r\n".split(b"|"),
    *b"Connection: close\r\n|Content-Length: 2\r\n|Transfer-Encoding: chunked\r\n".split(b"|"),
    *b"Host: x\r\n|0\r\n\r\n|GET / HTTP/1.1\r\n".split(b"|"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guarded() -> AsyncIterator[Gateway]:
    async with stub_core() as core, running_gateway(core) as gateway:
        yield gateway


def bent(chance: random.Random) -> bytes:
    """One to three requests behind each other, with up to three places changed."""
    data = b"".join(chance.choices(SMALL, k=chance.randint(1, 3)))
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice(PIECES) + data[at + chance.choice((0, 0, 1, 2, 9)) :]
    return data


def expected_answers(data: bytes) -> int:
    """One for each request the reference reads, and one for what it refuses."""
    count = 0
    while data not in (b"", b"\r\n"):
        count += 1
        reading = wire_reference.read(data)
        if reading is None or not reading.keep_alive:
            break
        data = reading.rest
    return count


async def answers(gateway: Gateway, pieces: list[bytes]) -> list[int]:
    """The statuses of all answers on a connection that ends with a FIN of ours."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    async with asyncio.timeout(TIMEOUT_S):
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        writer.write_eof()
        came = await reader.read()
    writer.close()
    replay = asyncio.StreamReader()
    replay.feed_data(came)
    replay.feed_eof()
    statuses: list[int] = []
    while not replay.at_eof():
        statuses.append((await read_answer(replay)).status)
    return statuses


async def test_bent_requests_get_as_many_answers_as_there_are_requests(guarded: Gateway) -> None:
    """No crash, no hang, no 500, and nothing answered that a strict reader would not read."""
    seed = random.randrange(2**32) if FUZZ_MINUTES else 1
    chance = random.Random(seed)
    until = time.monotonic() + FUZZ_MINUTES * 60
    talks = 0
    while talks < TALKS or time.monotonic() < until:
        talks += 1
        data = bent(chance)
        cuts = sorted(chance.sample(range(len(data) + 1), k=min(len(data), chance.randint(0, 6))))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
        statuses = await answers(guarded, [piece for piece in pieces if piece])
        assert len(statuses) == expected_answers(data), (seed, talks, pieces, statuses)
        assert not any(status >= 500 and status != 501 for status in statuses), (seed, pieces)
