"""What is kept of tokens, for all replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.domain.usage import Account, KeyUse, Spent


class UsageStore(Protocol):
    """Where usage is kept for all replicas. Raises ``SharedStateUnavailable``."""

    async def add(
        self, number: int, spent: Mapping[Account, Spent], used: Mapping[KeyUse, int]
    ) -> int:
        """Adds a batch, unless the last one of this worker had this number: then it was added.

        ``used`` has the last use of keys, in Unix seconds. Gives how many tokens could not be
        counted.
        """

    async def read(self, keys: Sequence[str]) -> Sequence[Spent]:
        """What was spent of each account, by its key."""

    async def forget(self, keys: Sequence[str]) -> None:
        """Nothing was spent of these accounts."""

    async def last_used(self, owner: str) -> Mapping[str, int]:
        """When each key of ``owner`` was last used, of those that were in the last 90 days."""
