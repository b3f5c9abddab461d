"""Whether the streams that run may run on: their credential still stands, the policy still allows.

A stream outlives the moment its request was let in. Once a second, and at once where something was
revoked, all open streams are checked, grouped by what decided then (credential and policy
question), so that a thousand streams of one user cost one check, and one of a token nothing about
which has changed costs next to nothing.

A round waits for nobody. What this process knows by itself is decided in it: all of a token, a key
whose look-up is cached, the account behind either. Who has to be asked about a key (its look-up is
too old: a revoked one is noticed within the cache's 5 s) or about a permission (every
``recheck_s``) gets into a queue of its own, one for the store and one for the policy, and the
queues ask beside the rounds, a few at a time (``recheck_queue``). So no credential waits for a
store or a policy that hangs, and no token ever depends on the store.

A refusal ends the group's streams. So does the lack of an answer, ``recheck_s`` after it was due,
with ``StorageUnavailable`` or ``PolicyUnavailable``: not before, because a short outage is no
reason to cut off everybody; and then, because a long outage must not be a way round a revocation.
It counts for each group by itself, and only where it was asked about in vain or nobody at all got
an answer meanwhile. Who has but waited for a turn, because a slow peer has too many to answer for,
runs on until that turn.

A socket on which nothing is asked is watched too, but asks nobody by itself: each of its questions
is asked about anyway. It ends by what this process knows, and where it knows that its key was
changed, by one look-up.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from gateway.flows.authenticate import Authenticator
from gateway.flows.authentication_method import RetainedCredential
from gateway.flows.credentials import Credential
from gateway.flows.recheck_queue import RecheckQueue
from gateway.ports import Clock, Policy

log = structlog.get_logger("gateway.recheck")

ROUND_S = 1.0
# After a round, also where something was revoked meanwhile: many revocations make few rounds.
PAUSE_S = 0.2
# How many are checked before the loop does its other work.
AT_ONCE = 64
# Half of the store client's threads: the others are for the look-ups that requests wait for.
LOOKUPS_AT_ONCE = 8
QUESTIONS_AT_ONCE = 64
# Of changed keys, how many are told apart: with more, all are taken for changed.
_CHANGED_KEYS_LIMIT = 1000


class Stoppable(Protocol):
    def stop(self, error: GatewayError) -> None: ...


@dataclass(frozen=True, slots=True)
class Grant:
    """What let a stream in; without a ``question``, who may put some on a socket."""

    credential: RetainedCredential
    question: PolicyQuestion | None
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Once: a stream asks for its hash four times, and there is much in it."""
        object.__setattr__(self, "_hash", hash((self.credential, self.question)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(slots=True, eq=False)
class _Watched:
    """The streams of one grant. ``asked_at`` is when the policy was asked last, monotonic seconds.

    ``credential`` is renewed at each check; ``principal`` is whom it stood for then. ``streams`` is
    a list because nearly every grant has one stream, and a set of one takes three times the memory.
    """

    grant: Grant
    asked_at: float
    credential: RetainedCredential
    principal: Principal | None = None
    streams: list[Stoppable] = field(default_factory=list)


class Recheck:
    """Keeps the grants of all open streams and checks them."""

    def __init__(
        self,
        authenticator: Authenticator,
        policy: Policy,
        clock: Clock,
        *,
        recheck_s: float,
        answer_s: float,
    ) -> None:
        """``answer_s`` is how long one look-up, and one question to the policy, may take."""
        self._authenticator = authenticator
        self._policy = policy
        self._clock = clock
        self._recheck_s = recheck_s
        self._answer_s = answer_s
        self._watched: dict[Grant, _Watched] = {}
        # Ids of keys that were changed since the last round; ``None`` where any may have been.
        self._changed_keys: set[str | None] = set()
        now = clock.monotonic
        self._woken = asyncio.Event()
        self._lookups = RecheckQueue(self._look_up, now, at_once=LOOKUPS_AT_ONCE)
        self._questions = RecheckQueue(self._ask, now, at_once=QUESTIONS_AT_ONCE)

    def __len__(self) -> int:
        return len(self._watched)

    def retain(self, credential: Credential) -> RetainedCredential:
        """What a grant keeps of the credential of a request that was let in."""
        return self._authenticator.retain(credential)

    def watching(self, grant: Grant, stream: Stoppable) -> _Watching:
        """Watches ``stream`` for the length of a ``with`` block."""
        return _Watching(self, grant, stream)

    def watch(self, grant: Grant, stream: Stoppable, principal: Principal | None = None) -> None:
        """Until ``unwatch``; ``principal`` is given where the grant has no question."""
        watched = self._watched.get(grant)
        if watched is None:
            now = self._clock.monotonic()
            new = _Watched(grant, now, grant.credential, principal, streams=[stream])
            self._watched[grant] = new
        else:
            watched.streams.append(stream)

    def unwatch(self, grant: Grant, stream: Stoppable) -> None:
        watched = self._watched[grant]
        watched.streams.remove(stream)
        if not watched.streams:
            del self._watched[grant]
            self._lookups.forget(watched)
            self._questions.forget(watched)

    def wake(self) -> None:
        """Something was revoked: the next round begins at once, or soon after the last one."""
        self._woken.set()

    def key_changed(self, key_id: str | None) -> None:
        """The next round looks it up for those who would ask nobody; ``None``: all of theirs."""
        if len(self._changed_keys) >= _CHANGED_KEYS_LIMIT:
            key_id = None
        self._changed_keys.add(key_id)

    async def run(self) -> None:
        """Checks them for ever, whatever happens in a round: else no stream could be stopped."""
        try:
            while True:
                await self._pause()
                try:
                    await self.check_due()
                except Exception:
                    log.exception("streams not rechecked")
        finally:
            self._lookups.close()
            self._questions.close()

    async def _pause(self) -> None:
        await asyncio.sleep(PAUSE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROUND_S - PAUSE_S):
                await self._woken.wait()
        self._woken.clear()

    async def check_due(self) -> None:
        """One round: decides what can be decided, and lets the queues ask for the rest."""
        due = [watched for watched in self._watched.values() if self._is_due(watched)]
        changed_keys, self._changed_keys = self._changed_keys, set()
        for watched in due if changed_keys else ():
            if watched.grant.question is None and _has_key_of(watched, changed_keys):
                self._lookups.wait(watched)
        for first in range(0, len(due), AT_ONCE):
            for watched in due[first : first + AT_ONCE]:
                # Its last stream may have ended since: the queues would ask about nobody.
                if watched.streams:
                    self._check(watched)
            await asyncio.sleep(0)
        self._lookups.serve()
        self._questions.serve()

    def _is_due(self, watched: _Watched) -> bool:
        return self._asks_policy(watched) or not self._authenticator.is_unchanged(
            watched.credential
        )

    def _asks_policy(self, watched: _Watched) -> bool:
        if watched.grant.question is None:
            return False
        return self._clock.monotonic() - watched.asked_at >= self._recheck_s

    def _check(self, watched: _Watched) -> None:
        """All that is known of one grant without asking anybody; ends its streams where it must."""
        try:
            self._check_credential(watched)
        except Unauthenticated as refusal:
            _stop(watched, _ended_by(refusal))
        except Exception:
            log.exception("stream not rechecked")
        # The policy is asked about the roles of now, so somebody must have said what they are.
        if watched.principal is not None and self._asks_policy(watched):
            self._questions.wait(watched)
            if self._questions.is_hopeless(watched, self._recheck_s):
                _stop(watched, PolicyUnavailable())

    def _check_credential(self, watched: _Watched) -> None:
        known = self._authenticator.known(watched.credential, within_s=ROUND_S)
        if known is not None:
            watched.credential, watched.principal = known
            self._lookups.forget(watched)
            return
        self._check_account(watched)
        if watched.grant.question is None:
            return
        self._lookups.wait(watched)
        if self._lookups.is_hopeless(watched, self._recheck_s):
            _stop(watched, StorageUnavailable())

    def _check_account(self, watched: _Watched) -> None:
        """What is known of a key while the store is asked: whether its owner is still there."""
        principal = watched.principal
        who = watched.grant.question or principal
        assert who is not None
        user = self._authenticator.account(who.subject, who.tenant, "")
        if user.roles_of_claims:
            return  # They are those of the last sign-in, which only the store knows.
        if principal is not None and principal.roles is not user.roles:
            watched.principal = replace(principal, roles=user.roles)

    async def _look_up(self, watched: _Watched) -> bool:
        """Whether the store answered for a key."""
        deadline = asyncio.get_running_loop().time() + self._answer_s
        try:
            watched.credential, watched.principal = await self._authenticator.again(
                watched.credential, deadline, within_s=ROUND_S
            )
        except Unauthenticated as refusal:
            _stop(watched, _ended_by(refusal))
        except StorageUnavailable:
            return False
        except Exception:
            log.exception("stream not rechecked")
            return False
        return True

    async def _ask(self, watched: _Watched) -> bool:
        """Whether the policy answered, asked with the roles of now."""
        now, principal, question = (
            self._clock.monotonic(),
            watched.principal,
            watched.grant.question,
        )
        assert principal is not None
        assert question is not None
        question = question._replace(roles=principal.roles, scopes=principal.scopes)
        try:
            async with asyncio.timeout(self._answer_s):
                decision = await self._policy.decide(question)
        except (PolicyUnavailable, TimeoutError):
            return False
        except Exception:
            log.exception("stream not rechecked")
            return False
        if decision.reason == POLICY_BROKEN:
            return False
        watched.asked_at = now
        if decision.allow is not True:
            _stop(watched, Forbidden(details={"decision_id": decision.decision_id}))
        return True


def _has_key_of(watched: _Watched, changed: set[str | None]) -> bool:
    who = watched.principal
    if who is None or who.auth != "api_key":
        return False
    return None in changed or who.credential_id in changed


def _ended_by(refusal: Unauthenticated) -> GatewayError:
    """What came to its end by itself has another code than what somebody ended."""
    if isinstance(refusal, TokenExpired):
        return TokenExpired()
    return CredentialRevoked(reason=refusal.reason)


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
