"""Decisions kept: for how long, for whom, and what is never kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from gateway.adapters.policy_cache import CachedPolicy
from gateway.domain.policy import POLICY_BROKEN, Decision, PolicyQuestion, Resource
from gateway.errors import PolicyBroken, PolicyUnavailable

QUESTION = PolicyQuestion(
    subject="ann",
    tenant="acme",
    roles=frozenset({"reader"}),
    scopes=None,
    auth="jwt",
    action="documents:read",
    resource=Resource(type="document", id="1", owner="ann", tenant="acme"),
    method="GET",
    route="/api/v1/documents/<document_id>",
    ip="192.0.2.7",
)


class FakeClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class FakePolicy:
    """Answers with ``reply`` and counts; while ``gate`` is closed, questions stay under way."""

    def __init__(self) -> None:
        self.revision = "r1"
        self.asked: list[PolicyQuestion] = []
        self.arrivals: asyncio.Queue[None] = asyncio.Queue()
        self.reply: Exception | None = None
        self.reason = "allowed"
        self.obligations: Mapping[str, Any] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0

    async def decide(self, question: PolicyQuestion) -> Decision:
        self.asked.append(question)
        self.arrivals.put_nowait(None)
        number = len(self.asked)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.reply is not None:
            raise self.reply
        return Decision(self.reason == "allowed", self.reason, f"d{number}", self.obligations)

    async def check(self) -> None:
        if self.reply is not None:
            raise self.reply


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def inner() -> FakePolicy:
    return FakePolicy()


@pytest.fixture
def policy(inner: FakePolicy, clock: FakeClock) -> CachedPolicy:
    return CachedPolicy(inner, clock, ttl_s=5.0, max_entries=3)


async def next_asked(inner: FakePolicy) -> None:
    """Waits until one more question has reached the inner policy."""
    await inner.arrivals.get()


async def test_same_question_is_asked_once(policy: CachedPolicy, inner: FakePolicy) -> None:
    """The second answer is the first one, marked as kept, with the id it was made with."""
    first = await policy.decide(QUESTION)
    second = await policy.decide(QUESTION._replace())
    assert (first.cached, second) == (False, replace(first, cached=True))
    assert len(inner.asked) == 1


async def test_denials_are_kept_too(policy: CachedPolicy, inner: FakePolicy) -> None:
    """Whoever is denied in a loop costs no more than whoever is allowed."""
    inner.reason = "role"
    assert [(await policy.decide(QUESTION)).allow for _ in range(3)] == [False] * 3
    assert len(inner.asked) == 1


DIFFERENT = {
    "subject": "bob",
    "tenant": "globex",
    "roles": frozenset({"reader", "admin"}),
    "scopes": frozenset({"documents:read"}),
    "auth": "api_key",
    "action": "documents:delete",
    "resource": Resource(type="document", id="1", owner="bob", tenant="acme"),
    "method": "HEAD",
    "route": "/api/v1/documents",
    "ip": "192.0.2.8",
}


@pytest.mark.parametrize("field", DIFFERENT)
async def test_any_other_input_is_another_question(
    policy: CachedPolicy, inner: FakePolicy, field: str
) -> None:
    """Whatever the policy can see is part of the key."""
    await policy.decide(QUESTION)
    other = await policy.decide(QUESTION._replace(**{field: DIFFERENT[field]}))
    assert other.cached is False
    assert len(inner.asked) == 2


def test_every_field_of_a_question_is_tried() -> None:
    """A new field of the question cannot be forgotten above."""
    assert set(DIFFERENT) == set(PolicyQuestion._fields)


async def test_no_scopes_and_an_empty_list_of_scopes_are_two_questions(
    policy: CachedPolicy, inner: FakePolicy
) -> None:
    """A key with nothing in its scopes never gets the answer of a token."""
    await policy.decide(QUESTION)
    assert (await policy.decide(QUESTION._replace(scopes=frozenset()))).cached is False


async def test_decision_is_forgotten_after_its_time(
    policy: CachedPolicy, inner: FakePolicy, clock: FakeClock
) -> None:
    """Just before its end a decision stands, at its end it is asked again."""
    await policy.decide(QUESTION)
    clock.now += 4.999
    assert (await policy.decide(QUESTION)).cached is True
    clock.now += 0.001
    assert (await policy.decide(QUESTION)).cached is False
    assert len(inner.asked) == 2


async def test_time_counts_from_the_question_and_not_the_answer(
    policy: CachedPolicy, inner: FakePolicy, clock: FakeClock
) -> None:
    """A slow answer is not good for longer: what it was made from is as old as the question."""
    inner.gate.clear()
    asking = asyncio.create_task(policy.decide(QUESTION))
    await next_asked(inner)
    clock.now += 4
    inner.gate.set()
    await asking
    clock.now += 1
    assert (await policy.decide(QUESTION)).cached is False


@pytest.mark.parametrize(
    ("obligations", "good_for_s"),
    [
        ({"cache": False}, 0),
        ({"cache": "no"}, 0),
        ({"cache": True}, 5),
        ({"ttl_s": 2}, 2),
        ({"ttl_s": 0.5}, 0.5),
        ({"ttl_s": 3600}, 5),
        ({"ttl_s": 10**400}, 5),
        ({"ttl_s": 0}, 0),
        ({"ttl_s": -1}, 0),
        ({"ttl_s": "2"}, 0),
        ({"ttl_s": True}, 0),
        ({"ttl_s": None}, 0),
    ],
)
async def test_policy_may_shorten_a_decisions_life(
    policy: CachedPolicy,
    inner: FakePolicy,
    clock: FakeClock,
    obligations: dict[str, Any],
    good_for_s: float,
) -> None:
    """An obligation shortens and never lengthens; one that cannot be read means: don't keep."""
    inner.obligations = obligations
    await policy.decide(QUESTION)
    clock.now += good_for_s - 0.001
    assert (await policy.decide(QUESTION)).cached is (good_for_s > 0)
    clock.now += 0.002
    assert (await policy.decide(QUESTION)).cached is False


async def test_new_revision_leaves_old_decisions_behind(
    policy: CachedPolicy, inner: FakePolicy
) -> None:
    """What an earlier policy said says nothing about this one."""
    await policy.decide(QUESTION)
    inner.revision = "r2"
    assert policy.revision == "r2"
    assert (await policy.decide(QUESTION)).cached is False


async def test_least_recently_used_makes_room(policy: CachedPolicy, inner: FakePolicy) -> None:
    """The cache is bounded, and keeps what is used."""
    questions = [QUESTION._replace(subject=name) for name in ("a", "b", "c", "d")]
    for question in questions[:3]:
        await policy.decide(question)
    await policy.decide(questions[0])
    await policy.decide(questions[3])
    kept = [(await policy.decide(question)).cached for question in (questions[0], questions[1])]
    assert kept == [True, False]


async def test_ended_decisions_go_without_being_asked_for(
    inner: FakePolicy, clock: FakeClock
) -> None:
    """Every document is a question of its own: memory follows the last seconds, not the limit."""
    policy = CachedPolicy(inner, clock, ttl_s=5.0, max_entries=1000)
    for number in range(100):
        await policy.decide(QUESTION._replace(ip=f"192.0.2.{number}"))
    assert policy.entries == 100
    clock.now += 5.0
    await policy.decide(QUESTION)
    assert policy.entries == 1


async def test_a_decision_that_must_not_be_kept_makes_room_too(
    inner: FakePolicy, clock: FakeClock
) -> None:
    """A policy may begin to forbid it; what it gave before ends all the same."""
    policy = CachedPolicy(inner, clock, ttl_s=5.0, max_entries=1000)
    await policy.decide(QUESTION)
    clock.now += 5.0
    inner.obligations = {"cache": False}
    await policy.decide(QUESTION._replace(ip="192.0.2.1"))
    assert policy.entries == 0


async def test_errors_are_asked_again(policy: CachedPolicy, inner: FakePolicy) -> None:
    """An error is no decision: it is never kept."""
    inner.reply = PolicyUnavailable()
    for _ in range(2):
        with pytest.raises(PolicyUnavailable):
            await policy.decide(QUESTION)
    inner.reply = None
    assert (await policy.decide(QUESTION)).allow is True
    assert len(inner.asked) == 3


async def test_error_leaves_a_kept_decision_of_another_question_alone(
    policy: CachedPolicy, inner: FakePolicy
) -> None:
    """A policy that goes away takes nothing back until the time is over."""
    await policy.decide(QUESTION)
    inner.reply = PolicyUnavailable()
    assert (await policy.decide(QUESTION)).cached is True


async def test_denial_of_a_broken_policy_is_not_kept(
    policy: CachedPolicy, inner: FakePolicy
) -> None:
    """A mended policy counts at once."""
    inner.reason = POLICY_BROKEN
    await policy.decide(QUESTION)
    inner.reason = "allowed"
    assert (await policy.decide(QUESTION)).allow is True


async def test_callers_at_once_share_one_question(policy: CachedPolicy, inner: FakePolicy) -> None:
    """Fifty who ask the same together cost one question."""
    inner.gate.clear()
    asking = [asyncio.create_task(policy.decide(QUESTION)) for _ in range(50)]
    await next_asked(inner)
    inner.gate.set()
    decisions = await asyncio.gather(*asking)
    assert {d.decision_id for d in decisions} == {"d1"}
    assert len(inner.asked) == 1


async def test_callers_at_once_share_one_error(policy: CachedPolicy, inner: FakePolicy) -> None:
    """All who wait are told, and nothing of it stays."""
    inner.gate.clear()
    inner.reply = PolicyUnavailable()
    asking = [asyncio.create_task(policy.decide(QUESTION)) for _ in range(5)]
    await next_asked(inner)
    inner.gate.set()
    outcomes = await asyncio.gather(*asking, return_exceptions=True)
    assert all(isinstance(outcome, PolicyUnavailable) for outcome in outcomes)


@pytest.mark.parametrize("who_leaves", [0, 1, 2])
async def test_caller_who_leaves_takes_nobody_along(
    policy: CachedPolicy, inner: FakePolicy, who_leaves: int
) -> None:
    """Neither the first caller's leaving nor a later one's ends the question for the others."""
    inner.gate.clear()
    asking = [asyncio.create_task(policy.decide(QUESTION)) for _ in range(3)]
    await next_asked(inner)
    asking[who_leaves].cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking.pop(who_leaves)
    inner.gate.set()
    assert [(await task).allow for task in asking] == [True, True]
    assert (len(inner.asked), inner.cancelled) == (1, 0)


async def test_question_whose_callers_all_left_is_still_answered(
    policy: CachedPolicy, inner: FakePolicy
) -> None:
    """What was asked for is kept, though nobody waited for it."""
    inner.gate.clear()
    asking = asyncio.create_task(policy.decide(QUESTION))
    await next_asked(inner)
    asking.cancel()
    await asyncio.wait({asking})
    inner.gate.set()
    assert (await policy.decide(QUESTION)).decision_id == "d1"
    assert inner.cancelled == 0


async def test_error_that_nobody_waits_for_is_no_noise(
    policy: CachedPolicy, inner: FakePolicy
) -> None:
    """An error whose callers all left never reaches the loop's handler of lost exceptions."""
    lost: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    inner.gate.clear()
    inner.reply = PolicyUnavailable()
    asking = asyncio.create_task(policy.decide(QUESTION))
    await next_asked(inner)
    (question,) = [t for t in asyncio.all_tasks() if t.get_name() == "policy question"]
    asking.cancel()
    await asyncio.wait({asking})
    inner.gate.set()
    await asyncio.wait({question})
    del question
    with pytest.raises(PolicyUnavailable):
        await policy.decide(QUESTION)
    assert lost == []


async def test_clear_forgets(policy: CachedPolicy, inner: FakePolicy) -> None:
    """After ``clear`` everything is asked anew."""
    await policy.decide(QUESTION)
    policy.clear()
    assert (await policy.decide(QUESTION)).cached is False


async def test_answer_to_a_question_from_before_clear_is_not_kept(
    policy: CachedPolicy, inner: FakePolicy
) -> None:
    """Who asked before gets the answer; who asks afterwards asks anew and is not joined to it."""
    inner.gate.clear()
    before = asyncio.create_task(policy.decide(QUESTION))
    await next_asked(inner)
    policy.clear()
    after = asyncio.create_task(policy.decide(QUESTION))
    await next_asked(inner)
    inner.gate.set()
    assert [(await before).decision_id, (await after).decision_id] == ["d1", "d2"]
    assert (await policy.decide(QUESTION)).decision_id == "d2"


async def test_question_that_json_cannot_say_is_passed_on(
    policy: CachedPolicy, inner: FakePolicy
) -> None:
    """Without a key nothing is kept, and the engine denies it itself."""
    odd = QUESTION._replace(subject="ann\ud800")
    await policy.decide(odd)
    await policy.decide(odd)
    assert len(inner.asked) == 2


async def test_check_asks_the_inner_policy(policy: CachedPolicy, inner: FakePolicy) -> None:
    """Readiness is never answered from what was kept."""
    await policy.check()
    inner.reply = PolicyBroken()
    with pytest.raises(PolicyBroken):
        await policy.check()


async def test_a_decision_under_way_when_the_cache_was_cleared_is_not_kept(
    policy: CachedPolicy, inner: FakePolicy
) -> None:
    """Nobody asked since: the next question is asked anew, and not answered with that decision.

    The revision is the same, as with an OPA server whose data were changed.
    """
    inner.gate.clear()
    before = asyncio.create_task(policy.decide(QUESTION))
    await next_asked(inner)
    policy.clear()
    inner.gate.set()
    assert (await before).decision_id == "d1"
    after = await policy.decide(QUESTION)
    assert (after.decision_id, after.cached) == ("d2", False)


async def test_a_policy_in_this_process_is_asked_without_a_task(
    inner: FakePolicy, clock: FakeClock
) -> None:
    """What it says is kept as any other's; nobody else can come while it answers."""
    policy = CachedPolicy(inner, clock, ttl_s=5.0, max_entries=3, immediate=True)
    before = asyncio.all_tasks()
    first = await policy.decide(QUESTION)
    assert asyncio.all_tasks() == before
    assert (first.allow, first.cached) == (True, False)
    kept = await policy.decide(QUESTION)
    assert (kept.decision_id, kept.cached) == (first.decision_id, True)
    clock.now += 5.0
    assert (await policy.decide(QUESTION)).cached is False
    inner.reason = POLICY_BROKEN
    other = QUESTION._replace(subject="bob")
    assert [(await policy.decide(other)).cached for _ in range(2)] == [False, False]
    inner.reply = PolicyUnavailable()
    with pytest.raises(PolicyUnavailable):
        await policy.decide(QUESTION._replace(subject="eve"))
    assert len(inner.asked) == 5
    assert (policy.count.hits, policy.count.misses) == (1, 5)
