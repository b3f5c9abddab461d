"""Whether the streams that run may run on: their credential still stands, the policy still allows.

A stream outlives the moment its request was let in. Once a second all open streams are gone over,
grouped by what decided then (credential and policy question), so that a thousand streams of one
user cost one look. The credential is looked up as for a request (a revoked key is found out within
its cache's 5 s), the policy is asked again every ``recheck_s``. A no ends the group's streams; no
answer lets them run on for one more ``recheck_s``, because a short outage is no reason to cut off
everybody, and ends them then, because a long one must not be a way round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from gateway.domain.policy import POLICY_BROKEN, Question
from gateway.errors import (
    Forbidden,
    GatewayError,
    PolicyUnavailable,
    StorageUnavailable,
    TokenExpired,
    Unauthenticated,
)
from gateway.flows.authenticate import Authenticator, Credential
from gateway.ports import Clock, Policy

ROUND_S = 1.0
AT_ONCE = 64
LOOKUP_LIMIT_S = 1.5


class Stoppable(Protocol):
    def stop(self, error: GatewayError) -> None: ...


@dataclass(frozen=True, slots=True)
class Grant:
    """What let a stream in."""

    credential: Credential
    question: Question


@dataclass(slots=True)
class _Watched:
    """The streams of one grant. Times are monotonic seconds; ``None``: nothing is unanswered."""

    asked_at: float
    streams: set[Stoppable] = field(default_factory=set)
    unanswered_since: float | None = None


class Recheck:
    """Keeps the grants of all open streams and goes over them."""

    def __init__(
        self, authenticator: Authenticator, policy: Policy, clock: Clock, *, recheck_s: float
    ) -> None:
        self._authenticator = authenticator
        self._policy = policy
        self._clock = clock
        self._recheck_s = recheck_s
        self._watched: dict[Grant, _Watched] = {}

    def __len__(self) -> int:
        return len(self._watched)

    @contextmanager
    def watching(self, grant: Grant, stream: Stoppable) -> Iterator[None]:
        """Watches ``stream`` for the length of the block."""
        watched = self._watched.get(grant)
        if watched is None:
            watched = self._watched[grant] = _Watched(asked_at=self._clock.monotonic())
        watched.streams.add(stream)
        try:
            yield
        finally:
            watched.streams.discard(stream)
            if not watched.streams and self._watched.get(grant) is watched:
                del self._watched[grant]

    async def run(self) -> None:
        """Goes over them for ever."""
        while True:
            await asyncio.sleep(ROUND_S)
            await self.go_over()

    async def go_over(self) -> None:
        """One round, ``AT_ONCE`` grants at a time: each may have to wait for a store."""
        grants = tuple(self._watched.items())
        for first in range(0, len(grants), AT_ONCE):
            await asyncio.gather(*(self._settle(*one) for one in grants[first : first + AT_ONCE]))

    async def _settle(self, grant: Grant, watched: _Watched) -> None:
        verdict = await self._verdict(grant, watched)
        if verdict is not None:
            for stream in tuple(watched.streams):
                stream.stop(verdict)

    async def _verdict(self, grant: Grant, watched: _Watched) -> GatewayError | None:
        """The error the grant's streams end with, or ``None``."""
        now = self._clock.monotonic()
        try:
            verdict = await self._look(grant, watched, now)
        except (StorageUnavailable, PolicyUnavailable) as unanswered:
            if watched.unanswered_since is None:
                watched.unanswered_since = now
            over = now - watched.unanswered_since >= self._recheck_s
            return unanswered if over else None
        watched.unanswered_since = None
        return verdict

    async def _look(self, grant: Grant, watched: _Watched, now: float) -> GatewayError | None:
        deadline = asyncio.get_running_loop().time() + LOOKUP_LIMIT_S
        try:
            principal = await self._authenticator.authenticate(grant.credential, deadline)
        except Unauthenticated:
            return TokenExpired()
        if now - watched.asked_at < self._recheck_s:
            return None
        question = replace(grant.question, roles=principal.roles, scopes=principal.scopes)
        decision = await self._policy.decide(question)
        if decision.reason == POLICY_BROKEN:
            raise PolicyUnavailable
        watched.asked_at = now
        if decision.allow is True:
            return None
        return Forbidden(details={"decision_id": decision.decision_id})
