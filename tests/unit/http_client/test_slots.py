"""Slots come back exactly once, whatever becomes of who waits for them."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.http_client.slots import Slots

from .scripted import until


async def test_a_slot_comes_back_once_however_often_it_is_released() -> None:
    """Two ways out of one response don't free two slots."""
    slots = Slots(1)
    slot = await slots.acquire(0)
    slot.release()
    slot.release()
    assert slots.in_use == 0


async def test_waiting_ends_at_the_deadline_and_leaves_nothing() -> None:
    """A full pool says so in time."""
    slots = Slots(1)
    held = await slots.acquire(None)
    with pytest.raises(TimeoutError):
        await slots.acquire(0)
    assert slots.waiting == 0
    held.release()
    (await slots.acquire(0)).release()


async def test_first_come_is_first_served() -> None:
    """A slot that comes free goes to who waited longest, past whoever asks just then."""
    slots = Slots(1)
    held = await slots.acquire(None)
    order: list[int] = []

    async def wait(n: int) -> None:
        slot = await slots.acquire(None)
        order.append(n)
        slot.release()

    tasks = [asyncio.create_task(wait(n)) for n in range(5)]
    await until(lambda: slots.waiting == 5)
    held.release()
    late = asyncio.create_task(wait(5))
    await asyncio.gather(*tasks, late)
    assert order == [0, 1, 2, 3, 4, 5]
    assert slots.in_use == 0


async def test_a_waiter_cancelled_as_it_is_woken_passes_the_slot_on() -> None:
    """The wake-up is not lost with it."""
    slots = Slots(1)
    held = await slots.acquire(None)
    first = asyncio.create_task(slots.acquire(None))
    second = asyncio.create_task(slots.acquire(None))
    await until(lambda: slots.waiting == 2)
    held.release()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    (await second).release()
    assert (slots.in_use, slots.waiting) == (0, 0)


async def test_a_storm_of_cancels_leaks_no_slot() -> None:
    """At random moments, a thousand times."""
    slots, chance = Slots(3), random.Random(7)

    async def use() -> None:
        slot = await slots.acquire(None)
        try:
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
        finally:
            slot.release()

    tasks = [asyncio.create_task(use()) for _ in range(1000)]
    while not all(task.done() for task in tasks):
        chance.choice(tasks).cancel()
        await asyncio.sleep(0)
    assert (slots.in_use, slots.waiting) == (0, 0)


def test_a_pool_of_none_is_refused() -> None:
    """It would wait for ever."""
    with pytest.raises(ValueError, match="at least one"):
        Slots(0)
