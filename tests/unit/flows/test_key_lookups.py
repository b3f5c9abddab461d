"""Answers of the key store: how long they are kept."""

from __future__ import annotations

from gateway.flows.key_lookups import KeyLookups
from tests.unit.identity_fakes import MemoryKeyStore, MovableClock

FOREVER = float("inf")


async def test_old_answers_go_without_being_asked_for() -> None:
    """Memory follows the keys of the last seconds, however many there are in a day."""
    clock = MovableClock()
    lookups = KeyLookups(MemoryKeyStore(), clock, ttl_s=5.0, max_entries=1000)
    for number in range(100):
        await lookups.get(f"key-{number}", FOREVER)
    assert lookups.entries == 100
    clock.passed_s += 5.0
    await lookups.get("another", FOREVER)
    assert lookups.entries == 1


async def test_the_longest_unused_makes_room() -> None:
    """At most so many are kept, whatever their age."""
    lookups = KeyLookups(MemoryKeyStore(), MovableClock(), ttl_s=5.0, max_entries=2)
    for number in range(4):
        await lookups.get(f"key-{number}", FOREVER)
    assert lookups.entries == 2
    assert lookups.kept("key-3", sent_after=0.0) is not None
    assert lookups.kept("key-1", sent_after=0.0) is None
