"""Answers of the key store: how long they are kept."""

from __future__ import annotations

from typing import cast

from gateway.domain.api_keys import StoredKey
from gateway.flows.key_lookups import KeyLookups
from gateway.ports import Deadline, KeyStore

FOREVER = float("inf")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class NoKeys:
    async def get(self, key_id: str, deadline: Deadline) -> StoredKey | None:
        return None


async def test_old_answers_go_without_being_asked_for() -> None:
    """Memory follows the keys of the last seconds, however many there are in a day."""
    clock = Clock()
    lookups = KeyLookups(cast(KeyStore, NoKeys()), clock, ttl_s=5.0, max_entries=1000)
    for number in range(100):
        await lookups.get(f"key-{number}", FOREVER)
    assert lookups.entries == 100
    clock.now += 5.0
    await lookups.get("another", FOREVER)
    assert lookups.entries == 1


async def test_the_longest_unused_makes_room() -> None:
    """At most so many are kept, whatever their age."""
    lookups = KeyLookups(cast(KeyStore, NoKeys()), Clock(), ttl_s=5.0, max_entries=2)
    for number in range(4):
        await lookups.get(f"key-{number}", FOREVER)
    assert lookups.entries == 2
    assert lookups.kept("key-3", sent_after=0.0) is not None
    assert lookups.kept("key-1", sent_after=0.0) is None
