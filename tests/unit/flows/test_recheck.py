"""A stream is held to what let it in: at revocation, at withdrawal, and when nobody can say."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gateway.domain.identity import Principal
from gateway.domain.policy import POLICY_BROKEN, Decision, PolicyQuestion, Resource
from gateway.errors import (
    CredentialRevoked,
    Forbidden,
    GatewayError,
    PolicyUnavailable,
    TokenExpired,
    Unauthenticated,
)
from gateway.flows import recheck as recheck_module
from gateway.flows.authentication_method import RetainedCredential
from gateway.flows.credentials import Credential
from gateway.flows.recheck import Grant, Recheck

RECHECK_S = 60.0
ALICE = Principal("alice", "acme", frozenset({"reader"}), "jwt", "jti-1")
QUESTION = PolicyQuestion(
    subject="alice",
    tenant="acme",
    roles=frozenset({"reader"}),
    scopes=None,
    auth="jwt",
    action="query:run",
    resource=Resource("query", None, "alice", "acme"),
    method="POST",
    route="/api/v1/query",
    ip="127.0.0.1",
)
GRANT = Grant(Credential("jwt", "token"), QUESTION)


@dataclass
class World:
    """Authenticator, policy and clock in one; each can be told to fail."""

    now: float = 1000.0
    auth_error: Exception | None = None
    policy_error: GatewayError | None = None
    reason: str = "why"
    principal: Principal = ALICE
    allow: bool = True
    looked_up: int = 0
    asked: list[PolicyQuestion] = field(default_factory=list)

    def known(
        self, retained: RetainedCredential, *, within_s: float
    ) -> tuple[RetainedCredential, Principal]:
        self.looked_up += 1
        if self.auth_error is not None:
            raise self.auth_error
        return retained, self.principal

    def is_unchanged(self, retained: RetainedCredential) -> bool:
        return False

    async def decide(self, question: PolicyQuestion) -> Decision:
        self.asked.append(question)
        if self.policy_error is not None:
            raise self.policy_error
        return Decision(self.allow, self.reason, "decision-1")

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Stream:
    def __init__(self) -> None:
        self.stopped: list[GatewayError] = []

    def stop(self, error: GatewayError) -> None:
        self.stopped.append(error)

    @property
    def kind(self) -> type[GatewayError] | None:
        return type(self.stopped[0]) if self.stopped else None


@pytest.fixture
def world() -> World:
    return World()


def recheck_of(world: Any) -> Recheck:
    return Recheck(world, world, world, recheck_s=RECHECK_S, answer_s=1.5)


async def look(recheck: Recheck) -> None:
    """One round, and all that is asked in it."""
    await recheck.check_due()
    await some_turns()


async def some_turns() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_a_good_stream_runs_on(world: World) -> None:
    """The policy is asked again once an interval, not once a round."""
    recheck, stream = recheck_of(world), Stream()
    with recheck.watching(GRANT, stream):
        for _ in range(180):
            await look(recheck)
            world.now += 1
    assert stream.stopped == []
    assert len(world.asked) == 2


async def test_who_asks_nothing_is_held_to_his_credential_alone(world: World) -> None:
    """A socket between its questions: the policy is not asked about any."""
    recheck, idle = recheck_of(world), Stream()
    grant = Grant(GRANT.credential, None)
    recheck.watch(grant, idle, ALICE)
    world.now += 10 * RECHECK_S
    await look(recheck)
    assert (world.asked, idle.stopped) == ([], [])
    world.auth_error = Unauthenticated(reason="token_revoked")
    await look(recheck)
    assert idle.kind is CredentialRevoked
    recheck.unwatch(grant, idle)
    assert len(recheck) == 0


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Unauthenticated(reason="key_revoked"), CredentialRevoked),
        (Unauthenticated(reason="user_disabled"), CredentialRevoked),
        (TokenExpired(reason="key_expired"), TokenExpired),
    ],
)
async def test_a_credential_that_ended_ends_the_stream_at_the_next_round(
    world: World, refusal: Unauthenticated, kind: type[GatewayError]
) -> None:
    """What somebody ended is told apart from what came to its end."""
    recheck, stream = recheck_of(world), Stream()
    with recheck.watching(GRANT, stream):
        world.auth_error = refusal
        await look(recheck)
    assert stream.kind is kind
    if kind is CredentialRevoked:
        # The log says why; the client is told no more than that it was ended.
        assert getattr(stream.stopped[0], "reason", None) == refusal.reason


async def test_a_withdrawn_permission_ends_the_stream_within_the_interval(world: World) -> None:
    """The policy is asked with the roles of now, not with those of the start."""
    recheck, stream = recheck_of(world), Stream()
    with recheck.watching(GRANT, stream):
        world.allow = False
        world.principal = replace(ALICE, roles=frozenset())
        await look(recheck)
        assert stream.stopped == []
        world.now += RECHECK_S
        await look(recheck)
    assert stream.kind is Forbidden
    assert world.asked[0].roles == frozenset()


async def test_no_answer_is_borne_for_one_interval(world: World) -> None:
    """A short outage cuts nobody off; a long one is no way round a withdrawal."""
    recheck, stream = recheck_of(world), Stream()
    with recheck.watching(GRANT, stream):
        world.policy_error = PolicyUnavailable()
        world.now += RECHECK_S
        await look(recheck)
        world.now += RECHECK_S - 1
        await look(recheck)
        assert stream.stopped == []
        world.now += 1
        await look(recheck)
    assert stream.kind is PolicyUnavailable


async def test_a_broken_policy_is_no_answer_and_ends_no_stream_at_once(world: World) -> None:
    """Its denial says that nobody could decide: a slip in a policy must not cut off everybody.

    The stream has one interval, as with a policy server that is away, and goes on where the policy
    was repaired within it.
    """
    recheck, repaired, broken = recheck_of(world), Stream(), Stream()
    with recheck.watching(GRANT, repaired):
        world.allow, world.reason = False, POLICY_BROKEN
        world.now += RECHECK_S
        await look(recheck)
        world.allow, world.reason = True, "why"
        world.now += 1
        await look(recheck)
    assert repaired.stopped == []
    with recheck.watching(GRANT, broken):
        world.allow, world.reason = False, POLICY_BROKEN
        world.now += RECHECK_S
        await look(recheck)
        assert broken.stopped == []
        world.now += RECHECK_S
        await look(recheck)
    assert broken.kind is PolicyUnavailable


@dataclass
class SlowWorld(World):
    """Its policy answers when the test says so."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def decide(self, question: PolicyQuestion) -> Decision:
        decision = await super().decide(question)
        await self.answers.wait()
        return decision


async def test_an_interval_begins_with_the_question_and_not_with_its_answer() -> None:
    """An answer may say what held when it was asked: a slow policy makes no permission older."""
    world = SlowWorld()
    recheck, stream = recheck_of(world), Stream()
    with recheck.watching(GRANT, stream):
        world.now += RECHECK_S
        await look(recheck)
        world.now += RECHECK_S / 2
        world.answers.set()
        await some_turns()
        await look(recheck)
        assert len(world.asked) == 1
        world.now += RECHECK_S / 2
        await look(recheck)
    assert len(world.asked) == 2
    assert stream.stopped == []


async def test_nobody_is_asked_about_a_stream_that_ended_in_the_round(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a policy that is away would be asked about those who left until it is back."""
    monkeypatch.setattr(recheck_module, "AT_ONCE", 1)
    recheck, other = recheck_of(world), replace(GRANT, credential=Credential("jwt", "another"))
    world.policy_error = PolicyUnavailable()
    with recheck.watching(GRANT, Stream()):
        with recheck.watching(other, Stream()):
            world.now += RECHECK_S
            checked = asyncio.create_task(recheck.check_due())
            await asyncio.sleep(0)
            assert world.looked_up == 1
        await checked
        await some_turns()
    assert world.looked_up == len(world.asked) == 1
    await look(recheck)
    assert len(world.asked) == 1


async def test_an_outage_that_passed_is_forgotten(world: World) -> None:
    """Two short outages are not one long one."""
    recheck, stream = recheck_of(world), Stream()
    with recheck.watching(GRANT, stream):
        for error in (PolicyUnavailable(), None, PolicyUnavailable(), None):
            world.policy_error = error
            await look(recheck)
            world.now += RECHECK_S - 1
    assert stream.stopped == []


async def test_streams_of_one_grant_cost_one_look(world: World) -> None:
    """Also to end them all."""
    recheck, streams = recheck_of(world), [Stream() for _ in range(100)]
    contexts = [recheck.watching(GRANT, stream) for stream in streams]
    for context in contexts:
        context.__enter__()
    world.auth_error = Unauthenticated()
    await look(recheck)
    for context in contexts:
        context.__exit__(None, None, None)
    assert world.looked_up == 1
    assert all(stream.kind is CredentialRevoked for stream in streams)


async def test_nothing_is_kept_of_streams_that_ended(world: World) -> None:
    """A worker lives long: what is watched must not grow with the streams that ever were."""
    recheck = recheck_of(world)
    with recheck.watching(GRANT, Stream()), recheck.watching(GRANT, Stream()):
        assert len(recheck) == 1
    assert len(recheck) == 0


async def test_what_nobody_foresaw_ends_no_round_and_no_stream(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next round looks again: without it nobody could be stopped any more."""
    monkeypatch.setattr(recheck_module, "ROUND_S", 0)
    monkeypatch.setattr(recheck_module, "PAUSE_S", 0)
    recheck, stream = recheck_of(world), Stream()
    with recheck.watching(GRANT, stream):
        world.auth_error = RecursionError()
        rounds = asyncio.create_task(recheck.run())
        await some_turns()
        assert world.looked_up > 2
        assert stream.stopped == []
        world.auth_error = Unauthenticated()
        await some_turns()
        rounds.cancel()
    assert stream.kind is CredentialRevoked
