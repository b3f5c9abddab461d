"""Which revision is known, where calls overlap in which the core named different ones."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from .answers_world import World, who


class Call(NamedTuple):
    """A call about ann's documents; ``heard_at`` is when its answer came."""

    revision: str
    sent_at: float
    heard_at: float


def told(world: World, *calls: Call) -> None:
    for call in calls:
        world.clock.now = call.heard_at
        world.revisions.told("acme", "ann", call.revision, call.sent_at)


EARLY, LATE = Call("1", 1000.2, 1000.3), Call("2", 1000.1, 1000.4)


@pytest.mark.parametrize(
    "calls",
    [
        (EARLY, LATE),
        (Call("2", 1000.1, 1000.3), Call("1", 1000.2, 1000.4)),
        # It was under way with both.
        (EARLY, LATE, Call("1", 1000.35, 1000.5)),
    ],
    ids=["the later one was sent first", "the later one was heard first", "a third one"],
)
async def test_of_calls_that_overlap_none_says_the_last_word(calls: tuple[Call, ...]) -> None:
    """A client may have seen a document in one answer that the other one was made before: what is
    kept is given to nobody until a call that was sent after them names a revision."""
    world = World()
    await world.ask()
    told(world, *calls)
    assert world.revisions.known("acme", "ann") is None
    assert await world.revisions.get(who()) is None
    await world.ask()
    assert world.asked == 2

    told(world, Call("2", 1000.6, 1000.7))

    assert world.revisions.known("acme", "ann") == "2"
    assert len(world.kept) == 0


async def test_calls_that_overlap_and_agree_are_believed() -> None:
    """For a second from when the last one was sent."""
    world = World()
    told(world, EARLY, Call("1", 1000.25, 1000.4), Call("1", 1000.1, 1000.5))
    world.clock.now = 1001.24
    assert world.revisions.known("acme", "ann") == "1"
    world.clock.now = 1001.25
    assert world.revisions.known("acme", "ann") is None


async def test_what_a_change_says_holds_against_calls_that_overlap_it() -> None:
    """It is given the time of its answer: what was sent before tells of the time before it."""
    world = World()
    told(world, EARLY, Call("2", 1000.4, 1000.4), Call("1", 1000.3, 1000.5))
    assert world.revisions.known("acme", "ann") == "2"
