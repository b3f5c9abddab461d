"""The one timer of all streams: each is called in every interval, however many come and go."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from gateway.flows.ticker import PARTS, WORTH_A_PART, Ticker

MANY = 4 * PARTS * WORTH_A_PART


class Ticked:
    """All that a ticker knows of a stream."""

    def __init__(self) -> None:
        self.ticks = 0

    def tick(self, now: float) -> None:
        self.ticks += 1


class Counted(Ticker):
    """Its intervals take no time; it counts the parts of them."""

    def __init__(self) -> None:
        super().__init__(interval_s=0)
        self.parts = 0

    def _tick(self) -> None:
        self.parts += 1
        super()._tick()

    async def turn(self, parts: int) -> None:
        until = self.parts + parts
        async with asyncio.timeout(20):
            while self.parts < until:  # noqa: ASYNC110  (nothing else shows it)
                await asyncio.sleep(0)


@pytest.fixture
def ticker() -> Counted:
    return Counted()


async def test_each_is_called_once_an_interval(ticker: Counted) -> None:
    """In parts, so that no part holds up what comes meanwhile."""
    streams = [Ticked() for _ in range(MANY)]
    for one in streams:
        ticker.add(one)
    await ticker.turn(PARTS)
    assert {one.ticks for one in streams} == {1}
    for one in streams:
        ticker.remove(one)


@pytest.mark.parametrize("stays", [0, -1], ids=["the first", "the last"])
async def test_many_that_leave_do_not_stop_the_clocks_of_those_that_stay(
    ticker: Counted, stays: int
) -> None:
    """A storm that is over in the middle of an interval: the next one begins in time."""
    streams = [Ticked() for _ in range(MANY)]
    for one in streams:
        ticker.add(one)
    await ticker.turn(1)
    left = streams.pop(stays)
    before = left.ticks
    for one in streams:
        ticker.remove(one)
    came = Ticked()
    ticker.add(came)
    await ticker.turn(PARTS + 1)
    assert left.ticks > before
    assert came.ticks >= 1
    ticker.remove(left)
    ticker.remove(came)


async def test_those_that_left_are_not_kept(ticker: Counted) -> None:
    """Also where the last ones left in the middle of an interval."""
    streams = [Ticked() for _ in range(MANY)]
    for one in streams:
        ticker.add(one)
    await ticker.turn(1)
    for one in streams:
        ticker.remove(one)
    await ticker.turn(1)
    gone = weakref.ref(streams[-1])
    del streams, one
    gc.collect()
    assert gone() is None
