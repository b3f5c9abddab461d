"""A queue in which nobody waits behind a crowd, and no crowd keeps others out."""

from __future__ import annotations

from gateway.domain.fair_queue import FairQueue


def order(queue: FairQueue[str]) -> list[str]:
    """Everybody who waits, in the order of their turns."""
    taken = []
    while (one := queue.take()) is not None:
        taken.append(one)
    return taken


def test_groups_take_turns() -> None:
    """Who sent three at once waits for the others between his own."""
    queue: FairQueue[str] = FairQueue(10)
    for group, one in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1")]:
        assert queue.put(group, one) is None
    assert order(queue) == ["a1", "b1", "c1", "a2", "a3"]
    assert len(queue) == 0


def test_a_full_queue_turns_away_the_last_of_the_largest_group() -> None:
    """A newcomer of another group takes its place."""
    queue: FairQueue[str] = FairQueue(4)
    for number in range(4):
        assert queue.put("crowd", f"crowd {number}") is None
    assert queue.put("crowd", "one more") == "one more"
    assert queue.put("honest", "honest 0") == "crowd 3"
    assert queue.put("honest", "honest 1") == "crowd 2"
    assert queue.put("honest", "honest 2") == "honest 2"
    assert order(queue) == ["crowd 0", "honest 0", "crowd 1", "honest 1"]


def test_one_group_alone_has_all_of_it() -> None:
    """Everybody may come through one proxy."""
    queue: FairQueue[str] = FairQueue(3)
    assert [queue.put("proxy", str(n)) for n in range(4)] == [None, None, None, "3"]


def test_nobody_waits_where_nobody_may() -> None:
    queue: FairQueue[str] = FairQueue(0)
    assert queue.put("a", "x") == "x"
    assert queue.take() is None


def test_who_leaves_makes_room() -> None:
    """Leaving twice, or without having been there, changes nothing."""
    queue: FairQueue[str] = FairQueue(2)
    queue.put("a", "a1")
    queue.put("b", "b1")
    queue.discard("a", "a1")
    queue.discard("a", "a1")
    queue.discard("b", "another")
    assert len(queue) == 1
    assert queue.put("b", "b2") is None
    assert order(queue) == ["b1", "b2"]
