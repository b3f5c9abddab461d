"""What is remembered of requests that may be sent again."""

from __future__ import annotations

from typing import Protocol

from gateway.domain.repeats import Asked, Claim, KeptAnswer


class RepeatStore(Protocol):
    """Shared by all replicas. Raises ``SharedStateUnavailable``."""

    async def claim(
        self, asked: Asked, new_id: str, owner: str, *, lock_s: float, kept_s: float
    ) -> Claim:
        """For ``lock_s`` nobody else gets it. ``new_id`` is remembered, unless one is already."""

    async def made(self, asked: Asked, made_id: str, answer: KeptAnswer, *, kept_s: float) -> None:
        """Remembered for ``kept_s``; what was remembered first stays."""

    def give_back(self, asked: Asked, owner: str, *, forget: bool) -> None:
        """The owner's claim, at once and without waiting; its id too where nothing was begun."""
