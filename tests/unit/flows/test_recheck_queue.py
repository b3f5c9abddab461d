"""A queue of those about whom somebody outside is asked: turns, places, and who is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.flows.recheck_queue import RecheckQueue

PLACES = 3


class World:
    """Somebody outside who answers, or not, or not yet."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[int] = []
        self.silent: set[int] = set()
        self.hanging: set[int] = set()
        self.held = asyncio.Event()
        self.queue = RecheckQueue(self.ask, lambda: self.now, at_once=PLACES)

    async def ask(self, one: int) -> bool:
        self.asked.append(one)
        if one in self.hanging:
            await self.held.wait()
        return one not in self.silent

    def wait(self, *ones: int) -> None:
        for one in ones:
            self.queue.wait(one)

    async def serve(self) -> None:
        self.queue.serve()
        for _ in range(100):
            await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    made.queue.close()
    await asyncio.sleep(0)


async def test_who_answers_is_asked_for_all_in_one_round(world: World) -> None:
    """A place goes on with the next one; whoever has waited longest comes first."""
    world.wait(*range(10))
    await world.serve()
    assert world.asked == list(range(10))
    assert len(world.queue) == 0


async def test_who_is_silent_is_asked_once_a_place_and_round(world: World) -> None:
    """In turn: those without an answer go to the end of the line."""
    world.silent = set(range(7))
    world.wait(*range(7))
    for _ in range(3):
        await world.serve()
    assert world.asked == [0, 1, 2, 3, 4, 5, 6, 0, 1]
    assert len(world.queue) == 7


async def test_a_place_that_is_taken_is_not_given_twice(world: World) -> None:
    """Whoever hangs holds as many questions as there are places, however many rounds pass."""
    world.hanging = set(range(10))
    world.wait(*range(10))
    for _ in range(5):
        await world.serve()
        world.wait(*range(10))
    assert world.asked == [0, 1, 2]


async def test_who_left_is_not_asked_about(world: World) -> None:
    """Neither while waiting nor again after an answer that came too late."""
    world.silent = world.hanging = {0, 1, 2}
    world.wait(*range(5))
    await world.serve()
    for one in range(4):
        world.queue.forget(one)
    world.held.set()
    await world.serve()
    await world.serve()
    assert world.asked == [0, 1, 2, 4]
    assert len(world.queue) == 0


@pytest.mark.parametrize(
    ("answered", "hopeless"),
    [
        # Nobody has an answer: each is given up at its time, asked about in vain or not.
        (set(), {0, 1, 2, 3, 4}),
        # Somebody has one: who was asked about in vain is given up, and who still waits is not.
        ({0}, {1, 2}),
    ],
)
async def test_who_is_given_up(world: World, answered: set[int], hopeless: set[int]) -> None:
    """Only after its own time, and only where more than a turn was waited for."""
    world.silent, world.hanging = {0, 1, 2}, {3, 4}
    world.wait(0, 1, 2)
    await world.serve()
    world.wait(3, 4)
    world.now = 30.0
    world.silent -= answered
    await world.serve()
    world.now = 59.0
    assert given_up(world) == set()
    world.now = 60.0
    assert given_up(world) == hopeless


def given_up(world: World) -> set[int]:
    return {one for one in range(5) if world.queue.is_hopeless(one, 60.0)}


async def test_one_that_was_answered_begins_anew(world: World) -> None:
    """Two short times without an answer are not one long one."""
    world.silent = {0}
    world.wait(0)
    await world.serve()
    world.now = 59.0
    world.silent = set()
    await world.serve()
    world.silent = {0}
    world.wait(0)
    await world.serve()
    world.now = 118.0
    assert not world.queue.is_hopeless(0, 60.0)
    world.now = 119.0
    assert world.queue.is_hopeless(0, 60.0)


async def test_answers_at_hand_hold_nobody_up(world: World) -> None:
    """Between as many as there are places the loop does its other work."""
    world.wait(*range(1000))
    world.queue.serve()
    seen = []
    while len(world.queue):
        await asyncio.sleep(0)
        seen.append(len(world.asked))
    assert max(b - a for a, b in zip([0, *seen], seen, strict=False)) <= PLACES
