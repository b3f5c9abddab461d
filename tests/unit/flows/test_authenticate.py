"""Who is asking: one credential, believed for as long as its user and its record stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.api_keys import format_key, new_key_id, new_secret
from gateway.domain.tokens import issue
from gateway.errors import (
    AmbiguousCredentials,
    StorageUnavailable,
    TokenExpired,
    Unauthenticated,
)
from gateway.flows.authenticate import Authenticator
from gateway.flows.credentials import Credential, credentials
from gateway.flows.keys import Keys
from tests.unit.identity_fakes import (
    ALICE,
    BOB,
    START,
    Accounts,
    MemoryKeyStore,
    MovableClock,
    person,
    revocations_of,
)
from tests.unit.values import MEMORY, token_settings

TOKENS = token_settings(b"x" * 32, lifetime_s=3600)
SCOPES = ["documents:list", "query:run"]


class Setup:
    """An authenticator with accounts, keys and a clock to turn."""

    def __init__(self, **limits: int) -> None:
        self.clock = MovableClock()
        self.accounts = Accounts(ALICE, BOB)
        self.store = MemoryKeyStore()
        # The keys are handled at another replica, which tells this one nothing.
        elsewhere = revocations_of(self.clock)
        self.keys = Keys(self.store, self.clock, elsewhere, actions=frozenset(SCOPES))
        self.revocations = revocations_of(self.clock)
        self.authenticator = Authenticator(
            self.accounts,
            TOKENS,
            self.store,
            self.clock,
            self.revocations.known,
            **{**MEMORY, **limits},
        )

    def token(self) -> Credential:
        return Credential("jwt", issue(ALICE, self.clock.time(), TOKENS).access_token)

    async def key(self, expires_in_s: int | None = None) -> tuple[str, Credential]:
        record, text = await self.keys.create(
            person(ALICE), "laptop", SCOPES, expires_in_s, self.deadline()
        )
        return record.key_id, Credential("api_key", text)

    async def who(self, credential: Credential) -> object:
        return await self.authenticator.authenticate(credential, self.deadline())

    async def refusal(self, credential: Credential) -> str | None:
        with pytest.raises(Unauthenticated) as caught:
            await self.who(credential)
        return caught.value.reason

    @staticmethod
    def deadline() -> float:
        return asyncio.get_running_loop().time() + 60


@pytest.fixture
async def setup() -> AsyncIterator[Setup]:
    made = Setup()
    yield made
    # Nothing a test started outlives it.
    assert [task for task in asyncio.all_tasks() if task.get_name() == "api key look-up"] == []


# --- headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scheme", ["Bearer", "bearer", "BEARER", "  Bearer", "Bearer  ", "Bearer\t"]
)
def test_a_bearer_token_whatever_the_schemes_case(scheme: str) -> None:
    """RFC 9110, section 11.1: schemes are case-insensitive."""
    assert credentials([f"{scheme} a.b.c "], []) == Credential("jwt", "a.b.c")


def test_an_api_key_is_one_in_either_header() -> None:
    """``X-API-Key``, or a bearer token that begins like a key."""
    assert credentials([], ["kbg_x"]) == Credential("api_key", "kbg_x")
    assert credentials(["Bearer kbg_x"], []) == Credential("api_key", "kbg_x")
    assert credentials([], ["a.b.c"]) == Credential("api_key", "a.b.c")


def test_no_header_is_no_credential() -> None:
    """Which is not the same as a bad one."""
    assert credentials([], []) is None


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [
        (["Bearer a", "Bearer a"], []),
        ([], ["kbg_a", "kbg_a"]),
        (["Bearer a"], ["kbg_a"]),
        (["Bearer kbg_a"], ["kbg_a"]),
        (["Basic a"], ["kbg_a"]),
        (["Bearer a"], [""]),
        (["Bearer a, Bearer b"], []),
        ([], ["kbg_a,kbg_b"]),
        (["", ""], []),
    ],
)
def test_two_credentials_are_ambiguous(authorization: list[str], api_key: list[str]) -> None:
    """Even the same one twice: whoever reads another of the two than we do is deceived."""
    with pytest.raises(AmbiguousCredentials):
        credentials(authorization, api_key)


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [
        (["Basic YTpi"], []),
        (["Bearer"], []),
        (["Bearer "], []),
        (["Bearera.b.c"], []),
        (["a.b.c"], []),
        ([""], []),
        ([" "], []),
        ([], [""]),
        ([], [" "]),
    ],
)
def test_a_header_without_a_credential_is_a_refusal(
    authorization: list[str], api_key: list[str]
) -> None:
    """Another scheme or nothing at all: 401, not anonymous."""
    with pytest.raises(Unauthenticated) as caught:
        credentials(authorization, api_key)
    assert not isinstance(caught.value, AmbiguousCredentials)


def test_a_credential_never_shows_itself() -> None:
    """``repr`` ends in logs and tracebacks."""
    assert "secret" not in repr(Credential("jwt", "secret"))


# --- tokens ---------------------------------------------------------------------------------------


async def test_a_token_is_its_user_now(setup: Setup) -> None:
    """No narrowing by scopes; the end is the token's."""
    principal = await setup.authenticator.authenticate(setup.token(), setup.deadline())
    assert (principal.subject, principal.tenant, principal.auth) == ("alice", "acme", "jwt")
    assert principal.roles == ALICE.roles
    assert principal.scopes is None
    assert principal.expires_at == START + 3600


async def test_a_remembered_token_ends_with_its_exp(setup: Setup) -> None:
    """The cache never prolongs."""
    token = setup.token()
    await setup.who(token)
    setup.clock.passed_s = 3599.9
    await setup.who(token)
    setup.clock.passed_s = 3600
    for _ in range(2):
        with pytest.raises(TokenExpired):
            await setup.who(token)


async def test_roles_are_what_token_and_file_both_say(setup: Setup) -> None:
    """A role taken away is gone at once; one given later comes with the next login."""
    token = setup.token()
    await setup.who(token)
    setup.accounts.put(replace(ALICE, roles=frozenset({"reader", "admin"})))
    principal = await setup.authenticator.authenticate(token, setup.deadline())
    assert principal.roles == {"reader"}


async def test_a_user_who_is_gone_is_refused_at_once(setup: Setup) -> None:
    """However well remembered the token is."""
    token = setup.token()
    await setup.who(token)
    setup.accounts.put(replace(ALICE, disabled=True))
    assert await setup.refusal(token) == "user_disabled"
    setup.accounts.drop("alice")
    assert await setup.refusal(token) == "user_removed"


@pytest.mark.parametrize(
    "change",
    [
        {"tokens_valid_after": int(START) + 1},
        {"tokens_valid_after": int(START)},
        {"password_hash": "hash of new"},
        {"tenant": "other"},
    ],
)
async def test_a_token_from_before_a_change_is_refused(
    setup: Setup, change: dict[str, object]
) -> None:
    """Another password or another tenant, or disabled meanwhile: log in again."""
    token = setup.token()
    await setup.who(token)
    setup.accounts.put(replace(ALICE, **change))  # type: ignore[arg-type]
    assert await setup.refusal(token) == "superseded"


async def test_a_secret_taken_away_ends_remembered_tokens_too(setup: Setup) -> None:
    """New secrets empty the cache."""
    token = setup.token()
    await setup.who(token)
    setup.authenticator.use_tokens(replace(TOKENS, secrets=(b"y" * 32,)))
    assert await setup.refusal(token) == "signature"


async def test_remembered_tokens_are_bounded_and_all_still_work() -> None:
    """What was pushed out is verified again."""
    setup = Setup(max_tokens=2)
    tokens = [setup.token() for _ in range(5)]
    for token in tokens * 2:
        await setup.who(token)
    assert len(setup.authenticator.verified) == 2


async def test_a_reload_of_the_users_empties_the_remembered_tokens(setup: Setup) -> None:
    """The contract's word; the next request verifies afresh."""
    token = setup.token()
    await setup.who(token)
    setup.accounts.put(BOB)
    other = setup.token()
    await setup.who(other)
    assert len(setup.authenticator.verified) == 1


@pytest.mark.parametrize("text", ["x", "é", "\ud800", "a.b.c", "x" * 100_000])
async def test_garbage_is_refused_and_not_remembered(setup: Setup, text: str) -> None:
    """Refusals take no room."""
    assert await setup.refusal(Credential("jwt", text))
    assert len(setup.authenticator.verified) == 0


# --- API keys -------------------------------------------------------------------------------------


async def test_a_key_is_its_owner_now_narrowed_to_its_scopes(setup: Setup) -> None:
    """Roles are the owner's current ones, read at use."""
    key_id, key = await setup.key(expires_in_s=60)
    setup.accounts.put(replace(ALICE, roles=frozenset({"admin"})))
    principal = await setup.authenticator.authenticate(key, setup.deadline())
    assert (principal.subject, principal.tenant, principal.auth) == ("alice", "acme", "api_key")
    assert principal.roles == {"admin"}
    assert principal.scopes == frozenset(SCOPES)
    assert (principal.credential_id, principal.expires_at) == (key_id, START + 60)


async def test_a_misspelled_key_asks_nobody(setup: Setup) -> None:
    """The checksum tells."""
    _, key = await setup.key()
    typo = key.text[:-1] + ("a" if key.text[-1] != "a" else "b")
    assert await setup.refusal(Credential("api_key", typo)) == "key_malformed"
    assert await setup.refusal(Credential("api_key", "a.b.c")) == "key_malformed"
    assert setup.store.asked == []


async def test_a_look_up_is_remembered_for_five_seconds_from_when_it_was_sent(
    setup: Setup,
) -> None:
    """A revoked key works on until then and not a moment longer."""
    key_id, key = await setup.key()
    setup.store.held = asyncio.Event()
    first = asyncio.create_task(setup.who(key))
    await setup.store.first_asked.wait()
    setup.clock.passed_s = 2  # The answer takes two seconds, and is read before the revocation.
    setup.store.edit(key_id, revoked_at=int(START) + 1)
    setup.store.held.set()
    await first

    setup.clock.passed_s = 4.9
    await setup.who(key)
    setup.clock.passed_s = 5
    assert await setup.refusal(key) == "key_revoked"


async def test_a_miss_is_remembered_too(setup: Setup) -> None:
    """A well-spelled key that does not exist costs one question in five seconds."""
    key = Credential("api_key", format_key(new_key_id(), new_secret()))
    for _ in range(3):
        assert await setup.refusal(key) == "key_unknown"
    assert len(setup.store.asked) == 1
    setup.clock.passed_s = 5
    await setup.refusal(key)
    assert len(setup.store.asked) == 2


async def test_an_unreachable_store_is_503_once_the_five_seconds_are_over(setup: Setup) -> None:
    """Until then the key works; afterwards nobody knows, which is neither a pass nor a 401."""
    _, key = await setup.key()
    await setup.who(key)
    setup.store.down = True
    setup.clock.passed_s = 4.9
    await setup.who(key)
    setup.clock.passed_s = 5
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await setup.who(key)
    setup.store.down = False
    await setup.who(key)


async def test_an_unreachable_store_makes_no_key_unknown(setup: Setup) -> None:
    """An error is no miss and is not remembered as one."""
    _, key = await setup.key()
    setup.store.down = True
    with pytest.raises(StorageUnavailable):
        await setup.who(key)
    setup.store.down = False
    await setup.who(key)


async def test_a_frozen_store_is_503_at_the_deadline(setup: Setup) -> None:
    """The caller's deadline holds even where the look-up itself does not end."""
    _, key = await setup.key()
    setup.store.held = asyncio.Event()
    with pytest.raises(StorageUnavailable):
        await setup.authenticator.authenticate(key, asyncio.get_running_loop().time())
    setup.store.held.set()
    await setup.who(key)


async def test_a_flood_of_made_up_ids_does_not_push_out_keys_in_use() -> None:
    """Misses have a bound of their own."""
    setup = Setup(max_keys=3)
    _, key = await setup.key()
    await setup.who(key)
    for _ in range(20):
        await setup.refusal(Credential("api_key", format_key(new_key_id(), new_secret())))
    asked = len(setup.store.asked)
    await setup.who(key)
    assert len(setup.store.asked) == asked
    assert len(setup.authenticator._keys._lookups._misses) == 3


async def test_many_at_once_cost_one_look_up_and_a_leaver_takes_nobody_along(
    setup: Setup,
) -> None:
    """Also when the one who leaves came first."""
    _, key = await setup.key()
    setup.store.held = asyncio.Event()
    callers = [asyncio.create_task(setup.who(key)) for _ in range(10)]
    await setup.store.first_asked.wait()
    callers[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    setup.store.held.set()
    principals = await asyncio.gather(*callers[1:])
    assert len(set(map(id, principals))) == 9
    assert len(setup.store.asked) == 1


async def test_a_rotated_secret_works_at_once_even_where_the_old_record_is_remembered(
    setup: Setup,
) -> None:
    """The client has the new secret in hand: a 401 for five seconds would be a lie."""
    key_id, old = await setup.key()
    await setup.who(old)
    setup.clock.passed_s = 1
    _, text = await setup.keys.rotate(person(ALICE), key_id, 60, setup.deadline())
    await setup.who(Credential("api_key", text))
    await setup.who(old)
    setup.clock.passed_s = 61
    await setup.who(Credential("api_key", text))
    with pytest.raises(TokenExpired):
        await setup.who(old)


async def test_a_remembered_record_without_the_secret_decides_about_no_running_stream(
    setup: Setup,
) -> None:
    """It may be older than a rotation: the store is asked, as for a request."""
    key_id, old = await setup.key()
    await setup.who(old)
    setup.clock.passed_s = 1
    _, text = await setup.keys.rotate(person(ALICE), key_id, 60, setup.deadline())
    new = Credential("api_key", text)
    assert setup.authenticator.known(new, within_s=1.0) is None
    _, principal = await setup.authenticator.again(new, setup.deadline(), within_s=1.0)
    assert principal.subject == "alice"
    assert setup.authenticator.known(new, within_s=1.0) == (new, principal)


async def test_a_wrong_secret_is_refused_after_one_fresh_look(setup: Setup) -> None:
    """What was just asked is not asked again."""
    key_id, _ = await setup.key()
    wrong = Credential("api_key", format_key(key_id, new_secret()))
    assert await setup.refusal(wrong) == "key_unknown"
    assert len(setup.store.asked) == 1


async def test_an_overtaken_look_up_does_not_replace_a_newer_answer(setup: Setup) -> None:
    """A slow old answer must not bring a revoked key back to life."""
    key_id, key = await setup.key()
    setup.store.held = asyncio.Event()
    slow = asyncio.create_task(setup.who(key))
    await setup.store.first_asked.wait()
    held, setup.store.held = setup.store.held, None
    setup.clock.passed_s = 1
    setup.store.edit(key_id, revoked_at=int(START))
    lookups = setup.authenticator._keys._lookups
    newer = await lookups.get(key_id, setup.deadline(), sent_after=1)
    assert newer.record is not None
    assert newer.record.revoked_at is not None

    held.set()
    await slow  # It was sent before the revocation and may still say yes.
    assert await setup.refusal(key) == "key_revoked"


async def test_an_expired_key_says_so(setup: Setup) -> None:
    """To the second, remembered or not."""
    _, key = await setup.key(expires_in_s=2)
    await setup.who(key)
    setup.clock.passed_s = 2
    with pytest.raises(TokenExpired):
        await setup.who(key)


async def test_a_key_falls_with_its_owner(setup: Setup) -> None:
    """Removed, disabled or moved to another tenant, at once."""
    _, key = await setup.key()
    await setup.who(key)
    setup.accounts.put(replace(ALICE, tenant="other"))
    assert await setup.refusal(key) == "key_owner_moved"
    setup.accounts.put(replace(ALICE, disabled=True))
    assert await setup.refusal(key) == "user_disabled"
    setup.accounts.drop("alice")
    assert await setup.refusal(key) == "user_removed"


async def test_a_changed_password_leaves_keys_alone(setup: Setup) -> None:
    """They are revoked by name, not by the way."""
    _, key = await setup.key()
    setup.accounts.put(replace(ALICE, password_hash="other", password_changed_at=int(START) + 9))
    await setup.who(key)


async def test_with_no_time_to_live_every_request_asks() -> None:
    """A setting of 0 s is honoured."""
    setup = Setup(key_ttl_s=0)
    _, key = await setup.key()
    await setup.who(key)
    await setup.who(key)
    assert len(setup.store.asked) == 2


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"secrets": (b"y" * 32,)}, Unauthenticated),
        ({"audience": "elsewhere"}, Unauthenticated),
        ({"issuer": "elsewhere"}, Unauthenticated),
        ({"lifetime_s": 1}, TokenExpired),
        ({"skew_s": 1}, None),
    ],
)
async def test_what_is_kept_of_a_token_falls_with_the_settings_it_was_verified_under(
    setup: Setup, changes: dict[str, Any], kind: type[Exception] | None
) -> None:
    """A running stream is held to a reload as the next request is; the token itself is gone."""
    kept = setup.authenticator.retain(setup.token())
    assert setup.authenticator.is_unchanged(kept)
    setup.clock.passed_s = 2
    setup.authenticator.use_tokens(replace(TOKENS, **changes))
    assert not setup.authenticator.is_unchanged(kept)
    if kind is None:
        kept, _ = await setup.authenticator.again(kept, 0.0, within_s=1.0)
        assert setup.authenticator.is_unchanged(kept)
        return
    with pytest.raises(kind):
        await setup.authenticator.again(kept, 0.0, within_s=1.0)
