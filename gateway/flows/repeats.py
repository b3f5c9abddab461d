"""Requests that create, sent again: what was made is given again, and nothing is made twice.

An attempt first claims the key, for the time a request may take, and with the claim the id that
the new thing will have is remembered. So whatever happens behind it, a killed worker, Redis going
away, a client that leaves, an answer that is lost: who comes next finds the id and completes the
same thing rather than make a second. Two attempts at once do no harm either, where the first one
took too long: object store and workflow service make one thing for one id.

Only what was made is remembered. An attempt that was refused before it began leaves nothing; one
that failed after it had begun leaves the id.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from gateway.domain.repeats import OUTCOMES, Asked, Claim, KeptAnswer
from gateway.errors import Conflict, IdempotencyMismatch, SharedStateUnavailable
from gateway.ports import Clock, RepeatStore

# How long a client should wait that comes while the first one is under way: most take less.
RETRY_AFTER_S = 1

log = structlog.get_logger("gateway.repeats")


@dataclass(slots=True)
class Attempt:
    """One try to make what a key stands for.

    Attributes:
        id: what is made has this id.
        again: an attempt before this one may have made it, wholly or in part.
        made: an attempt before this one did, and said so.
        begun: from now on it is unknown whether it was made, until it is.
    """

    id: str
    again: bool = False
    made: bool = False
    begun: bool = False
    owner: str = field(default="", repr=False)


class Repeats:
    """``counts`` says how often what became of a request with a key, by ``OUTCOMES``."""

    def __init__(
        self, store: RepeatStore | None, clock: Clock, *, kept_s: float, ignores: bool
    ) -> None:
        """``store`` is ``None`` where no Redis is set; ``kept_s`` is how long what was made is
        remembered. ``ignores``: while ``store`` is away, a key is as none."""
        self._store, self._clock = store, clock
        self._kept_s, self._ignores = kept_s, ignores
        self.counts = dict.fromkeys(OUTCOMES, 0)

    async def begin(
        self, asked: Asked, new_id: Callable[[float], str], lock_s: float
    ) -> Attempt | KeptAnswer | None:
        """An attempt; what was answered before, as far as it was kept; ``None`` to go on without.

        Args:
            new_id: names what is to be made, at a time in Unix seconds.
            lock_s: for how long nobody else attempts the same.

        Raises:
            IdempotencyMismatch: the key was used for another request.
            Conflict: the same request is under way.
            SharedStateUnavailable: whether it was made before cannot be found out.
        """
        owner = secrets.token_hex(8)
        try:
            claim = await self._claim(asked, new_id(self._clock.time()), owner, lock_s)
        except SharedStateUnavailable:
            if not self._ignores:
                self.counts["unavailable"] += 1
                raise
            self.counts["ignored"] += 1
            return None
        return self._allowed(claim, owner)

    async def _claim(self, asked: Asked, new_id: str, owner: str, lock_s: float) -> Claim:
        if self._store is None:
            raise SharedStateUnavailable(
                "This gateway has no Redis, and so cannot know an Idempotency-Key again."
            )
        return await self._store.claim(asked, new_id, owner, lock_s=lock_s, kept_s=self._kept_s)

    def _allowed(self, claim: Claim, owner: str) -> Attempt | KeptAnswer:
        if claim.state == "other":
            self.counts["mismatch"] += 1
            raise IdempotencyMismatch
        if claim.state == "busy":
            self.counts["busy"] += 1
            raise Conflict(
                "The same request is under way: ask again in a moment.",
                retry_after_s=RETRY_AFTER_S,
            )
        if claim.answer is not None:
            self.counts["repeated"] += 1
            kept = claim.answer
            return kept if kept.body else Attempt(claim.id, again=True, made=True)
        again = claim.state == "again"
        if again:
            self.counts["resumed"] += 1
        return Attempt(claim.id, again=again, owner=owner)

    async def made(self, asked: Asked, attempt: Attempt, answer: KeptAnswer) -> None:
        """It was made, whatever comes of remembering that: a repeat still finds its id."""
        if attempt.made or self._store is None:
            return
        self.counts["made"] += 1
        try:
            await self._store.made(asked, attempt.id, answer, kept_s=self._kept_s)
        except SharedStateUnavailable as problem:
            log.warning("what was made is not remembered", cause=repr(problem.__cause__))

    def failed(self, asked: Asked, attempt: Attempt) -> None:
        """It was refused, or it is unknown whether it was made; waits for nothing."""
        if attempt.made or self._store is None:
            return
        self.counts["failed"] += 1
        forget = not attempt.again and not attempt.begun
        self._store.give_back(asked, attempt.owner, forget=forget)
