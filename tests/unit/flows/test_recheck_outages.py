"""Who is checked, and who ends, while the key store or the policy gives no answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.domain.identity import User
from gateway.domain.policy import Decision, PolicyQuestion, Resource
from gateway.domain.tokens import issue
from gateway.errors import (
    CredentialRevoked,
    Forbidden,
    GatewayError,
    PolicyUnavailable,
    StorageUnavailable,
)
from gateway.flows.authenticate import Authenticator
from gateway.flows.credentials import Credential
from gateway.flows.keys import Keys
from gateway.flows.recheck import AT_ONCE, LOOKUPS_AT_ONCE, QUESTIONS_AT_ONCE, Grant, Recheck
from tests.unit.identity_fakes import (
    ALICE,
    BOB,
    Accounts,
    MemoryKeyStore,
    MovableClock,
    person,
    revocations_of,
)
from tests.unit.values import MEMORY, token_settings

RECHECK_S = 60.0
MANY = 5 * AT_ONCE
TOKENS = token_settings(b"x" * 32, lifetime_s=3600)


class Stream:
    def __init__(self) -> None:
        self.ended: GatewayError | None = None

    def stop(self, error: GatewayError) -> None:
        self.ended = self.ended or error

    @property
    def kind(self) -> type[GatewayError] | None:
        return type(self.ended) if self.ended else None


class Policy:
    """``held`` makes questions hang; those it answers, it allows but for ``denied``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.roles: frozenset[str] | None = None
        self.held: asyncio.Event | None = None
        self.denied: str | None = None
        self.revision = "1"

    async def decide(self, question: PolicyQuestion) -> Decision:
        self.asked.append(question.ip)
        self.roles = question.roles
        if self.held is not None:
            await self.held.wait()
        return Decision(question.ip != self.denied, "why", "decision-1")

    async def check(self) -> None: ...


class World:
    """Real credentials over a store, a policy and a clock that the test rules."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.accounts = Accounts(ALICE, BOB)
        self.store = MemoryKeyStore()
        # The keys are handled at another replica, which tells this one nothing.
        elsewhere = revocations_of(self.clock)
        self.keys = Keys(
            self.store,
            self.clock,
            elsewhere,
            actions=frozenset(["query:run"]),
            keys_per_owner=10 * MANY,
        )
        self.policy = Policy()
        known = revocations_of(self.clock).known
        authenticator = Authenticator(
            self.accounts, TOKENS, self.store, self.clock, known, **MEMORY
        )
        self.recheck = Recheck(
            authenticator, self.policy, self.clock, recheck_s=RECHECK_S, answer_s=3600
        )

    def by_token(self, user: User, name: str = "") -> Stream:
        token = issue(user, self.clock.time(), TOKENS).access_token
        return self._watch(user, Credential("jwt", token), name)

    async def by_key(self, user: User, name: str = "") -> tuple[str, Stream]:
        record, text = await self.keys.create(person(user), "key", ["query:run"], None, 0.0)
        return record.key_id, self._watch(user, Credential("api_key", text), name)

    async def many_by_key(self, user: User) -> dict[str, Stream]:
        return dict([await self.by_key(user, str(number)) for number in range(MANY)])

    def _watch(self, user: User, credential: Credential, name: str) -> Stream:
        question = PolicyQuestion(
            subject=user.subject,
            tenant=user.tenant,
            roles=user.roles,
            scopes=None,
            auth=credential.kind,
            action="query:run",
            resource=Resource("query", None, user.subject, user.tenant),
            method="POST",
            route="/api/v1/query",
            ip=name,
        )
        stream = Stream()
        self.recheck.watch(Grant(self.recheck.retain(credential), question), stream)
        return stream

    async def round(self, seconds: float = 1.0) -> None:
        """The next round, ``seconds`` later, and all that is asked and answered in it."""
        self.clock.passed_s += seconds
        await self.recheck.check_due()
        for _ in range(4 * MANY):
            await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    made.recheck._lookups.close()
    made.recheck._questions.close()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()


class Outage:
    """What happens to the store: it hangs, or it refuses at once."""

    def __init__(self, store: MemoryKeyStore, *, hangs: bool) -> None:
        self._store = store
        if hangs:
            store.held = asyncio.Event()
        else:
            store.down = True

    def over(self) -> None:
        self._store.down = False
        if self._store.held is not None:
            self._store.held.set()
            self._store.held = None


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "refuses"])
async def test_tokens_are_checked_each_round_whatever_the_store_does(
    world: World, hangs: bool
) -> None:
    """A disabled user's ends in the very round, another's runs on, however many keys wait."""
    keys = await world.many_by_key(ALICE)
    disabled, valid = world.by_token(BOB), world.by_token(ALICE)
    await world.round(6)
    Outage(world.store, hangs=hangs)
    await world.round(6)
    world.accounts.put(replace(BOB, disabled=True))
    world.clock.passed_s += 1
    await world.recheck.check_due()
    assert disabled.kind is CredentialRevoked
    for _ in range(4):
        await world.round(RECHECK_S / 2)
    assert valid.kind is None
    assert {stream.kind for stream in keys.values()} == {StorageUnavailable}


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "refuses"])
async def test_each_key_without_an_answer_ends_one_interval_after_it_was_due(
    world: World, hangs: bool
) -> None:
    """All of them, asked about or not, where nobody at all has an answer; and none before."""
    keys = await world.many_by_key(ALICE)
    Outage(world.store, hangs=hangs)
    await world.round(6)
    for _ in range(6):
        await world.round(RECHECK_S / 6 - 1 / 6)
    assert {stream.kind for stream in keys.values()} == {None}
    await world.round()
    assert {stream.kind for stream in keys.values()} == {StorageUnavailable}


async def test_a_store_that_is_away_is_asked_a_few_times_a_round(world: World) -> None:
    """Its outage is not made longer; and everybody has a turn."""
    keys = await world.many_by_key(ALICE)
    world.store.down = True
    await world.round(6)
    world.store.asked.clear()
    for count in range(1, MANY // LOOKUPS_AT_ONCE + 1):
        await world.round(0.1)
        assert len(world.store.asked) == count * LOOKUPS_AT_ONCE
    assert set(world.store.asked) == set(keys)


async def test_a_store_that_is_back_answers_for_all_in_one_round(world: World) -> None:
    """A revoked key among them ends then."""
    keys = await world.many_by_key(ALICE)
    outage = Outage(world.store, hangs=True)
    await world.round(6)
    await world.round(30)
    revoked = list(keys)[-1]
    world.store.edit(revoked, revoked_at=1)
    outage.over()
    await world.round()
    assert {key for key, stream in keys.items() if stream.kind} == {revoked}
    assert keys[revoked].ended is not None
    assert getattr(keys[revoked].ended, "reason", "") == "key_revoked"
    await world.round(RECHECK_S - 1)
    assert {key for key, stream in keys.items() if stream.kind} == {revoked}


async def test_who_has_but_waited_for_a_turn_runs_on(world: World) -> None:
    """A store that answers a few at a time leaves others without an answer, and is not away."""
    keys = await world.many_by_key(ALICE)
    hangs = world.store.held = asyncio.Event()
    world.store.asked.clear()
    for _ in range(10):
        await world.round(RECHECK_S / 5)
        hangs.set()
        hangs = world.store.held = asyncio.Event()
    await world.round()
    assert {stream.kind for stream in keys.values()} == {None}
    assert len(set(world.store.asked)) == 11 * LOOKUPS_AT_ONCE < MANY


async def test_a_key_of_a_disabled_user_ends_without_the_store(world: World) -> None:
    """The accounts are in memory: nobody has to be asked about them."""
    _, by_key = await world.by_key(BOB)
    world.store.down = True
    await world.round(6)
    assert by_key.kind is None
    world.accounts.put(replace(BOB, disabled=True))
    await world.round()
    assert by_key.kind is CredentialRevoked
    assert getattr(by_key.ended, "reason", "") == "user_disabled"


async def test_a_permission_is_asked_for_also_while_the_store_is_away(world: World) -> None:
    """With the roles of now, which the store does not have."""
    _, by_key = await world.by_key(BOB, "bob's")
    await world.round()
    await world.round(RECHECK_S - 5)
    world.store.down = True
    world.policy.denied = "bob's"
    world.accounts.put(replace(BOB, roles=frozenset({"editor"})))
    await world.round(10)
    assert by_key.kind is Forbidden
    assert world.policy.roles == {"editor"}


async def test_a_policy_that_hangs_holds_up_no_credential(world: World) -> None:
    """Nor does it get more questions than a few at a time; who is answered runs on."""
    keys = await world.many_by_key(ALICE)
    token = world.by_token(ALICE, "token")
    await world.round()
    world.policy.held = asyncio.Event()
    await world.round(RECHECK_S)
    assert len(world.policy.asked) == QUESTIONS_AT_ONCE
    revoked = list(keys)[-1]
    world.store.edit(revoked, revoked_at=1)
    world.accounts.put(replace(ALICE, tokens_valid_after=int(world.clock.time()) + 1))
    await world.round(6)
    assert len(world.policy.asked) == QUESTIONS_AT_ONCE
    assert token.kind is CredentialRevoked
    assert {key for key, stream in keys.items() if stream.kind} == {revoked}
    world.policy.held.set()
    await world.round()
    assert len(set(world.policy.asked)) == MANY + 1


async def test_nobody_runs_on_without_an_answer_of_the_policy(world: World) -> None:
    """One interval after the question was due."""
    streams = (await world.many_by_key(ALICE)).values()
    await world.round()
    world.policy.held = asyncio.Event()
    await world.round(RECHECK_S)
    await world.round(RECHECK_S - 1)
    assert {stream.kind for stream in streams} == {None}
    await world.round()
    assert {stream.kind for stream in streams} == {PolicyUnavailable}


async def test_a_question_that_hangs_has_a_limit_of_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place goes on to others: all have had a turn after some rounds."""
    await world.many_by_key(ALICE)
    await world.round()
    monkeypatch.setattr(world.recheck, "_answer_s", 0.0)
    world.policy.held = asyncio.Event()
    await world.round(RECHECK_S)
    while len(set(world.policy.asked)) < MANY:
        await world.round()
    assert len(world.policy.asked) <= MANY + QUESTIONS_AT_ONCE


async def test_nothing_is_kept_of_those_who_left_while_they_waited(world: World) -> None:
    """A worker lives long: the queues must not grow with the streams that ever were."""
    await world.many_by_key(ALICE)
    await world.round()
    world.store.down, world.policy.held = True, asyncio.Event()
    await world.round(RECHECK_S)
    recheck = world.recheck
    assert (len(recheck._lookups), len(recheck._questions)) == (MANY, MANY)
    for grant, watched in list(recheck._watched.items()):
        recheck.unwatch(grant, watched.streams[0])
    await world.round()
    assert (len(recheck._lookups), len(recheck._questions)) == (0, 0)
