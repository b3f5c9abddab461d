"""Whether the streams that run may run on: their credential still stands, the policy still allows.

A stream outlives the moment its request was let in. Once a second all open streams are gone over,
grouped by what decided then (credential and policy question), so that a thousand streams of one
user cost one look, and one of a token nothing about which has changed costs next to nothing. A key
is looked up as for a request (a revoked one is found out within its cache's 5 s), the policy is
asked again every ``recheck_s``. A no ends the group's streams; no
answer lets them run on for one more ``recheck_s``, because a short outage is no reason to cut off
everybody, and ends them then, because a long one must not be a way round.
"""

from __future__ import annotations

import asyncio
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
from gateway.flows.authenticate import Authenticator, Credential, Proof
from gateway.ports import Clock, Policy

ROUND_S = 1.0
AT_ONCE = 64
LOOKUP_LIMIT_S = 1.5


class Stoppable(Protocol):
    def stop(self, error: GatewayError) -> None: ...


@dataclass(frozen=True, slots=True)
class Grant:
    """What let a stream in."""

    proof: Proof
    question: Question


@dataclass(slots=True)
class _Watched:
    """The streams of one grant. Times are monotonic seconds; ``None``: nothing is unanswered.

    A list, because nearly every grant has one stream, and a set of one takes three times as much.
    """

    asked_at: float
    streams: list[Stoppable] = field(default_factory=list)
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

    def keepsake(self, credential: Credential) -> Proof:
        """What a grant keeps of the credential of a request that was let in."""
        return self._authenticator.keepsake(credential)

    def watching(self, grant: Grant, stream: Stoppable) -> _Watching:
        """Watches ``stream`` for the length of a ``with`` block."""
        return _Watching(self, grant, stream)

    def watch(self, grant: Grant, stream: Stoppable) -> None:
        watched = self._watched.get(grant)
        if watched is None:
            watched = self._watched[grant] = _Watched(asked_at=self._clock.monotonic())
        watched.streams.append(stream)

    def unwatch(self, grant: Grant, stream: Stoppable) -> None:
        watched = self._watched[grant]
        watched.streams.remove(stream)
        if not watched.streams:
            del self._watched[grant]

    async def run(self) -> None:
        """Goes over them for ever."""
        while True:
            await asyncio.sleep(ROUND_S)
            await self.go_over()

    async def go_over(self) -> None:
        """One round, ``AT_ONCE`` grants at a time: some have to wait for a store.

        Between the lots the loop does its other work: the streams come first.
        """
        grants = tuple(self._watched.items())
        for first in range(0, len(grants), AT_ONCE):
            now = self._clock.monotonic()
            lot = [one for one in grants[first : first + AT_ONCE] if self._is_due(*one, now)]
            await asyncio.gather(*(self._settle(*one) for one in lot))
            await asyncio.sleep(0)

    def _is_due(self, grant: Grant, watched: _Watched, now: float) -> bool:
        return (
            now - watched.asked_at >= self._recheck_s
            or watched.unanswered_since is not None
            or not self._authenticator.is_unchanged(grant.proof)
        )

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
            principal = await self._authenticator.authenticate(grant.proof, deadline)
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


class _Watching:
    """What ``with recheck.watching(…)`` holds; a generator would take five times as much."""

    __slots__ = ("_grant", "_recheck", "_stream")

    def __init__(self, recheck: Recheck, grant: Grant, stream: Stoppable) -> None:
        self._recheck = recheck
        self._grant = grant
        self._stream = stream

    def __enter__(self) -> None:
        self._recheck.watch(self._grant, self._stream)

    def __exit__(self, *_: object) -> None:
        self._recheck.unwatch(self._grant, self._stream)
