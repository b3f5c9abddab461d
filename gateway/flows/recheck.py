"""Whether the streams that run may run on: their credential still stands, the policy still allows.

A stream outlives the moment its request was let in. Once a second all open streams are checked,
grouped by what decided then (credential and policy question), so that a thousand streams of one
user cost one check, and one of a token nothing about which has changed costs next to nothing. A key
is looked up as for a request (a revoked one is noticed within its cache's 5 s), the policy is asked
again every ``recheck_s``. A refusal ends the group's streams. No answer lets them run on for one
more ``recheck_s``, because a short outage is no reason to cut off everybody, and ends them then,
because a long outage must not be a way round the policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from gateway.domain.identity import Principal
from gateway.domain.policy import POLICY_BROKEN, PolicyQuestion
from gateway.errors import (
    CredentialRevoked,
    Forbidden,
    GatewayError,
    PolicyUnavailable,
    StorageUnavailable,
    TokenExpired,
    Unauthenticated,
)
from gateway.flows.authenticate import Authenticator, Credential, RetainedCredential
from gateway.ports import Clock, Policy

log = structlog.get_logger("gateway.recheck")

ROUND_S = 1.0
AT_ONCE = 64
LOOKUP_LIMIT_S = 1.5


class Stoppable(Protocol):
    def stop(self, error: GatewayError) -> None: ...


@dataclass(frozen=True, slots=True)
class Grant:
    """What let a stream in."""

    credential: RetainedCredential
    question: PolicyQuestion


@dataclass(slots=True)
class _Watched:
    """The streams of one grant. Times are monotonic seconds; ``None``: nothing is unanswered.

    ``credential`` is renewed at each check; ``principal`` is whom it stood for then. ``streams`` is
    a list because nearly every grant has one stream, and a set of one takes three times the memory.
    """

    asked_at: float
    credential: RetainedCredential
    principal: Principal | None = None
    streams: list[Stoppable] = field(default_factory=list)
    unanswered_since: float | None = None


_Pair = tuple[Grant, _Watched]
_Step = Callable[[Grant, _Watched], Awaitable[GatewayError | None]]


class Recheck:
    """Keeps the grants of all open streams and checks them."""

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

    def retain(self, credential: Credential) -> RetainedCredential:
        """What a grant keeps of the credential of a request that was let in."""
        return self._authenticator.retain(credential)

    def watching(self, grant: Grant, stream: Stoppable) -> _Watching:
        """Watches ``stream`` for the length of a ``with`` block."""
        return _Watching(self, grant, stream)

    def watch(self, grant: Grant, stream: Stoppable) -> None:
        watched = self._watched.get(grant)
        if watched is None:
            now = self._clock.monotonic()
            self._watched[grant] = _Watched(now, grant.credential, streams=[stream])
        else:
            watched.streams.append(stream)

    def unwatch(self, grant: Grant, stream: Stoppable) -> None:
        watched = self._watched[grant]
        watched.streams.remove(stream)
        if not watched.streams:
            del self._watched[grant]

    async def run(self) -> None:
        """Checks them for ever, whatever happens in a round: else no stream could be stopped."""
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                await self.check_due()
            except Exception:
                log.exception("streams not rechecked")

    async def check_due(self) -> None:
        """One round: first the credentials of all, then the policy for those whose turn it is.

        In this order, because a policy that hangs must not hide a key that was revoked.
        """
        now = self._clock.monotonic()
        due = [one for one in self._watched.items() if self._is_due(*one, now)]
        await self._in_batches(due, self._look)
        due = [one for one in due if one[1].streams and self._asks_policy(one[1], now)]
        await self._in_batches(due, self._ask)

    async def _in_batches(self, grants: list[_Pair], step: _Step) -> None:
        """``AT_ONCE`` grants at a time; between the batches the loop does its other work.

        Where no grant of a batch got an answer the next batches are not asked for: whoever answers
        them is down, and each would wait out its time limit.
        """
        answered = True
        for first in range(0, len(grants), AT_ONCE):
            batch = grants[first : first + AT_ONCE]
            if answered:
                answered = any(await asyncio.gather(*(self._settle(*one, step) for one in batch)))
            else:
                for _, watched in batch:
                    self._unanswered(watched, step == self._ask)
            await asyncio.sleep(0)

    def _is_due(self, grant: Grant, watched: _Watched, now: float) -> bool:
        return (
            self._asks_policy(watched, now)
            or watched.unanswered_since is not None
            or not self._authenticator.is_unchanged(watched.credential)
        )

    def _asks_policy(self, watched: _Watched, now: float) -> bool:
        return now - watched.asked_at >= self._recheck_s

    async def _settle(self, grant: Grant, watched: _Watched, step: _Step) -> bool:
        """Takes one step for one grant and ends its streams where it must; false: no answer."""
        try:
            verdict = await step(grant, watched)
        except (StorageUnavailable, PolicyUnavailable, TimeoutError):
            self._unanswered(watched, step == self._ask)
            return False
        except Exception:
            log.exception("stream not rechecked")
            return True
        if verdict is not None:
            _stop(watched, verdict)
        return True

    def _unanswered(self, watched: _Watched, of_policy: bool) -> None:
        now = self._clock.monotonic()
        if watched.unanswered_since is None:
            watched.unanswered_since = now
        if now - watched.unanswered_since >= self._recheck_s:
            _stop(watched, PolicyUnavailable() if of_policy else StorageUnavailable())

    async def _look(self, _: Grant, watched: _Watched) -> GatewayError | None:
        """Whether the credential stands."""
        now = self._clock.monotonic()
        deadline = asyncio.get_running_loop().time() + LOOKUP_LIMIT_S
        try:
            watched.credential, watched.principal = await self._authenticator.again(
                watched.credential, deadline, within_s=ROUND_S
            )
        except TokenExpired:
            return TokenExpired()
        except Unauthenticated:
            return CredentialRevoked()
        if not self._asks_policy(watched, now):
            watched.unanswered_since = None
        return None

    async def _ask(self, grant: Grant, watched: _Watched) -> GatewayError | None:
        """Whether the policy still allows, with the roles of now."""
        now = self._clock.monotonic()
        principal = watched.principal
        if principal is None:
            return None  # its credential got no answer in this round
        question = replace(grant.question, roles=principal.roles, scopes=principal.scopes)
        async with asyncio.timeout(LOOKUP_LIMIT_S):
            decision = await self._policy.decide(question)
        if decision.reason == POLICY_BROKEN:
            raise PolicyUnavailable
        watched.asked_at, watched.unanswered_since = now, None
        if decision.allow is True:
            return None
        return Forbidden(details={"decision_id": decision.decision_id})


def _stop(watched: _Watched, error: GatewayError) -> None:
    for stream in tuple(watched.streams):
        stream.stop(error)


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
