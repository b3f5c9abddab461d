"""People of the company: let in by their provider's tokens, beside those who log in here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.company import company_subject, unlisted
from gateway.domain.identity import Principal, User
from gateway.domain.tokens import issue
from gateway.errors import (
    Forbidden,
    SignInUnavailable,
    TokenExpired,
    Unauthenticated,
)
from gateway.flows.authenticate import Authenticator
from gateway.flows.company_method import CompanyMethod
from gateway.flows.credentials import Credential
from gateway.flows.key_owners import CompanyOwners
from gateway.flows.keys import Keys
from gateway.flows.logout import Logout
from gateway.flows.provider_keys import REFRESH_S, RENEW_S, ProviderKeys
from gateway.flows.sign_ins import SignIns
from tests.company import ISSUER, Issuer, SigningKey, hmac_with, public_keys, rules
from tests.unit.flows.test_provider_keys import Background, ScriptedProvider
from tests.unit.identity_fakes import (
    ALICE,
    START,
    Accounts,
    MemoryKeyStore,
    MemoryPeople,
    MovableClock,
    revocations_of,
)
from tests.unit.values import MEMORY, token_settings

TOKENS = token_settings(b"x" * 32, lifetime_s=24 * 3600)
ERIN = company_subject(ISSUER, "f:42:erin")
DAY_S = 24 * 3600


class World:
    """A worker that takes tokens of a company; its clock, its accounts, its provider."""

    def __init__(self, people: MemoryPeople | None = None, **limits: int) -> None:
        self.clock = MovableClock()
        self.accounts = Accounts(ALICE)
        self.issuer = Issuer()
        self.provider = ScriptedProvider(*self.issuer.keys)
        self.people = people or MemoryPeople()
        self.background = Background()
        self.store = MemoryKeyStore()
        self.revocations = revocations_of(self.clock)
        self.keys = Keys(self.store, self.clock, self.revocations, actions=frozenset({"query:run"}))
        known = self.revocations.known
        self.authenticator = Authenticator(
            self.accounts,
            TOKENS,
            self.store,
            self.clock,
            known,
            **{**MEMORY, **limits},
            company=CompanyOwners(self.people, 30 * DAY_S),
        )
        self.provider_keys = ProviderKeys(self.provider, self.clock, self.background)
        self.sign_ins = SignIns(self.people, self.clock, self.background)
        self.method = CompanyMethod(
            rules(),
            self.provider_keys,
            self.authenticator.accounts,
            known,
            self.clock,
            self.authenticator.verified,
            self.sign_ins.seen,
        )
        self.authenticator.add("oidc", self.method)
        self.logout = Logout(self.authenticator, self.revocations, self.clock)

    def token(self, **changes: Any) -> Credential:
        """A fresh one, by the clock of the test; the provider's is the same."""
        now = int(self.clock.time())
        times = {"iat": now, "nbf": now, "exp": now + 3600, "jti": f"at-{now}"}
        return Credential("jwt", self.issuer.token(**{**times, **changes}))

    async def who(self, credential: Credential) -> Principal:
        return await self.authenticator.authenticate(credential, deadline())

    async def refusal(self, credential: Credential) -> str | None:
        with pytest.raises(Unauthenticated) as caught:
            await self.who(credential)
        return caught.value.reason

    async def key_of(self, credential: Credential) -> Credential:
        """An API key of the person's."""
        person = await self.who(credential)
        _, text = await self.keys.create(person, "laptop", ["query:run"], None, deadline())
        await self.background.done()
        return Credential("api_key", text)


def deadline() -> float:
    return asyncio.get_running_loop().time() + 60


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.background.done()


# --- who it is ------------------------------------------------------------------------------------


async def test_a_person_of_the_company_needs_no_account(world: World) -> None:
    """Tenant and roles are the token's by the mapping, the name is kept beside the subject."""
    person = await world.who(world.token())
    assert (person.subject, person.tenant, person.name) == (ERIN, "acme", "erin")
    assert (person.roles, person.scopes, person.auth) == ({"editor", "reader"}, None, "oidc")
    assert person.expires_at == START + 3600


async def test_each_kind_of_credential_is_judged_by_its_own_method(world: World) -> None:
    """The gateway's own tokens and keys work as before beside the company's."""
    own = Credential("jwt", issue(ALICE, world.clock.time(), TOKENS).access_token)
    assert (await world.who(own)).auth == "jwt"
    assert (await world.who(world.token())).auth == "oidc"
    assert (await world.who(await world.key_of(own))).auth == "api_key"
    for text in ("nonsense", "a.b.c", ""):
        assert await world.refusal(Credential("jwt", text)) == "malformed"
    secret = world.issuer.keys[0].pem
    forged = world.issuer.token({"alg": "HS256"}, sign=hmac_with(secret))
    assert await world.refusal(Credential("jwt", forged)) == "signature"


async def test_a_person_without_a_mapped_role_has_none(world: World) -> None:
    """He is known and may do nothing that needs a role; that is counted apart."""
    assert (await world.who(world.token(groups=["canteen"]))).roles == frozenset()
    assert world.method.outcomes == {"no_role": 1}


async def test_a_token_seen_before_is_not_verified_again(world: World) -> None:
    """One entry in the cache that all tokens share, and no second question."""
    token = world.token()
    first = await world.who(token)
    world.provider.down = True
    assert await world.who(token) is first
    assert (world.authenticator.token_count.hits, world.authenticator.token_count.misses) == (1, 1)
    assert world.method.outcomes == {"ok": 1}
    world.clock.passed_s += 3600
    with pytest.raises(TokenExpired):
        await world.who(token)


async def test_outcomes_are_counted(world: World) -> None:
    """Of tokens that were not seen before; a provider that is away is nobody's wrong token."""
    await world.who(world.token())
    await world.refusal(world.token(aud="payroll"))
    world.clock.passed_s += REFRESH_S
    world.provider.down = True
    away = Credential("jwt", world.issuer.token(key=SigningKey(number=1, key_id="new")))
    with pytest.raises(SignInUnavailable):
        await world.who(away)
    assert world.method.outcomes == {"ok": 1, "refused": 1, "unavailable": 1}


async def test_a_token_goes_with_the_key_that_signed_it(world: World) -> None:
    """Though it is in the cache, though its stream runs."""
    token = world.token()
    await world.who(token)
    retained = world.authenticator.retain(token)
    world.provider.published = public_keys(SigningKey(number=1, key_id="key-1"))
    world.clock.passed_s += RENEW_S
    assert world.authenticator.is_unchanged(retained)
    await world.background.done()
    assert not world.authenticator.is_unchanged(retained)
    with pytest.raises(Unauthenticated):
        world.authenticator.known(retained, within_s=1.0)
    assert await world.refusal(token) == "signature"


async def test_what_is_retained_stands_until_something_changes(world: World) -> None:
    """Known without asking anybody, also where its place in the cache was taken."""
    world = World(max_tokens=1)
    token = world.token()
    await world.who(token)
    await world.who(world.token(sub="somebody else", jti="at-2"))
    retained = world.authenticator.retain(token)
    assert world.authenticator.is_unchanged(retained)
    again, person = await world.authenticator.again(retained, deadline(), within_s=1.0)
    assert (person.subject, world.authenticator.is_unchanged(again)) == (ERIN, True)
    world.clock.passed_s += 3600
    with pytest.raises(TokenExpired):
        world.authenticator.known(again, within_s=1.0)
    await world.background.done()


async def test_other_rules_end_what_was_accepted_by_the_old_ones(world: World) -> None:
    """The same ones, read again, end nothing."""
    token = world.token()
    await world.who(token)
    retained = world.authenticator.retain(token)
    world.method.use_rules(rules())
    assert world.authenticator.is_unchanged(retained)
    world.method.use_rules(rules(audience="payroll"))
    assert not world.authenticator.is_unchanged(retained)
    with pytest.raises(Unauthenticated):
        world.authenticator.known(retained, within_s=1.0)
    assert await world.refusal(token) == "audience"


async def test_rules_that_change_while_the_provider_is_asked_hold(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is judged by the rules of now, not by those of the moment in which it came."""
    find = world.provider_keys.find

    async def reloading(*given: Any) -> Any:
        key = await find(*given)
        world.method.use_rules(rules(audience="payroll"))
        return key

    monkeypatch.setattr(world.provider_keys, "find", reloading)
    token = world.token()
    assert await world.refusal(token) == "audience"
    assert await world.refusal(token) == "audience"


# --- the users file -------------------------------------------------------------------------------


def entry(**changes: Any) -> User:
    return replace(unlisted(ERIN), **changes)


async def test_the_users_file_disables_a_person_and_changes_his_roles(world: World) -> None:
    """At once, also for a token that was seen before; taken out again, it changes nothing."""
    token = world.token()
    await world.who(token)
    retained = world.authenticator.retain(token)
    world.accounts.put(entry(disabled=True))
    assert await world.refusal(token) == "user_disabled"
    assert not world.authenticator.is_unchanged(retained)
    with pytest.raises(Unauthenticated):
        world.authenticator.known(retained, within_s=1.0)
    world.accounts.put(entry(roles=frozenset({"admin"}), roles_of_claims=False))
    assert (await world.who(token)).roles == {"admin"}
    world.accounts.drop(ERIN)
    assert (await world.who(token)).roles == {"editor", "reader"}


async def test_enabling_a_person_revives_no_token(world: World) -> None:
    """``gateway user disable`` and ``enable`` write the time; later tokens are good."""
    token = world.token()
    await world.who(token)
    world.accounts.put(entry(tokens_valid_after=int(START) + 1))
    assert await world.refusal(token) == "superseded"
    world.clock.passed_s += 1
    assert (await world.who(world.token())).subject == ERIN


async def test_a_person_disabled_at_one_replica_is_refused_at_another(world: World) -> None:
    """Whose users file says nothing of him; and let in again once that is taken back."""
    token, other = world.token(), World()
    await world.who(token)
    change = {ERIN: entry(disabled=True, tokens_valid_after=int(START) + 1)}
    other.revocations.accounts_changed({}, change)
    (told,) = other.revocations._unsaved.values()
    await world.revocations.end(told, deadline())
    assert await world.refusal(token) == "user_disabled"
    world.clock.passed_s += 2
    assert await world.refusal(world.token()) == "user_disabled"
    enabled = entry(tokens_valid_after=int(START) + 2)
    world.accounts.put(enabled)
    assert (await world.who(world.token())).subject == ERIN
    other.revocations._unsaved.clear()
    other.revocations.accounts_changed(change, {})
    assert not other.revocations._unsaved


# --- revocations ----------------------------------------------------------------------------------


async def test_logging_out_ends_a_companys_token(world: World) -> None:
    """That one alone; one of the gateway's own with the same id is another one."""
    first, second = world.token(), world.token(jti="at-2")
    await world.who(second)
    await world.logout.log_out(first, deadline(), all_tokens=False)
    assert await world.refusal(first) == "token_revoked"
    assert (await world.who(second)).subject == ERIN


async def test_all_of_a_persons_tokens_end_and_later_ones_are_good(world: World) -> None:
    """Of tokens made elsewhere, the second in which they were issued decides."""
    first, second = world.token(), world.token(jti="at-2")
    retained = world.authenticator.retain(first) if await world.who(first) else None
    assert retained is not None
    world.clock.passed_s += 1
    await world.logout.log_out(second, deadline(), all_tokens=True)
    assert [await world.refusal(one) for one in (first, second)] == ["token_revoked"] * 2
    assert not world.authenticator.is_unchanged(retained)
    world.clock.passed_s += 1
    assert (await world.who(world.token())).subject == ERIN


# --- API keys -------------------------------------------------------------------------------------


async def test_a_person_owns_keys_with_the_roles_of_his_last_sign_in(world: World) -> None:
    """What the last token said, at whatever worker it was seen."""
    key = await world.key_of(world.token())
    program = await world.who(key)
    assert (program.subject, program.roles, program.auth) == (ERIN, {"editor", "reader"}, "api_key")
    world.clock.passed_s += 10
    await world.who(world.token(groups=["kb-readers"]))
    await world.background.done()
    world.clock.passed_s += 6
    assert (await world.who(key)).roles == {"reader"}
    with pytest.raises(Forbidden):
        await world.keys.create(program, "another", ["query:run"], None, deadline())


async def test_an_older_token_brings_no_role_back(world: World) -> None:
    """One that was issued before is used later, at a worker that has not seen it."""
    people = MemoryPeople()
    first, second = World(people), World(people)
    old = first.token()
    first.clock.passed_s = second.clock.passed_s = 60
    key = await first.key_of(first.token(groups=["kb-readers"]))
    await second.who(old)
    await second.background.done()
    assert (await first.who(key)).roles == {"reader"}


async def test_keys_sleep_when_their_owner_stays_away_and_wake_with_his_next_sign_in(
    world: World,
) -> None:
    """30 days after his last sign-in nobody knows whether he still may."""
    key = await world.key_of(world.token())
    world.clock.passed_s += 30 * DAY_S - 1
    assert (await world.who(key)).subject == ERIN
    world.clock.passed_s += 1
    assert await world.refusal(key) == "key_sleeps"
    await world.who(world.token())
    await world.background.done()
    world.clock.passed_s += 6
    assert (await world.who(key)).subject == ERIN


async def test_keys_follow_the_users_file_and_the_tenant(world: World) -> None:
    """A disabled owner's keys stop, roles of the file count, and a move to another tenant ends."""
    key = await world.key_of(world.token())
    world.accounts.put(entry(disabled=True))
    assert await world.refusal(key) == "user_disabled"
    world.accounts.put(entry(roles=frozenset({"reader"}), roles_of_claims=False))
    assert (await world.who(key)).roles == {"reader"}
    world.clock.passed_s += 60
    await world.who(world.token(organization="other"))
    await world.background.done()
    world.clock.passed_s += 6
    assert await world.refusal(key) == "key_owner_moved"


async def test_without_company_sign_in_nobodys_keys_of_it_work(world: World) -> None:
    """Nor does an entry of the users file make him an account."""
    key = await world.key_of(world.token())
    known = revocations_of(world.clock).known
    off = Authenticator(world.accounts, TOKENS, world.store, world.clock, known, **MEMORY)
    world.accounts.put(entry())
    with pytest.raises(Unauthenticated) as caught:
        await off.authenticate(key, deadline())
    assert caught.value.reason == "user_removed"
    with pytest.raises(Unauthenticated) as caught:
        await off.authenticate(world.token(), deadline())
    assert caught.value.reason == "signature"


async def test_a_store_that_is_away_keeps_nobody_out_and_is_told_later(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sign-in is written down behind the request's back, until it is."""
    monkeypatch.setattr("gateway.flows.sign_ins.TRY_AGAIN_S", 0.0)
    world.people.down = True
    assert (await world.who(world.token())).subject == ERIN
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.people.kept == {}
    world.people.down = False
    await world.background.done()
    assert world.people.kept[ERIN].roles == {"editor", "reader"}


async def test_one_person_who_cannot_be_written_holds_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He is tried again, after the others."""
    monkeypatch.setattr("gateway.flows.sign_ins.TRY_AGAIN_S", 0.0)
    world.people.spoilt.add(ERIN)
    await world.who(world.token())
    await world.who(world.token(sub="rita", jti="at-2"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert list(world.people.kept) == [company_subject(ISSUER, "rita")]
    world.people.spoilt.clear()
    await world.background.done()
    assert ERIN in world.people.kept


async def test_a_sign_in_that_says_nothing_new_is_not_written_again(world: World) -> None:
    """Within an hour; then it is, so that keys stay awake."""
    for _ in range(10):
        await world.who(world.token())
        await world.background.done()
        world.clock.passed_s += 60
    assert world.people.written == 1
    world.clock.passed_s += 3600
    await world.who(world.token())
    await world.background.done()
    assert world.people.written == 2
