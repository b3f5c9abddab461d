"""Login: one answer for everything that is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from gateway.domain.identity import User
from gateway.domain.passwords import PASSWORD_LIMIT_BYTES
from gateway.domain.tokens import password_tag, verify
from gateway.errors import InvalidCredentials, Overloaded
from gateway.flows.login import Login, LoginAttempt
from tests.unit.identity_fakes import revocations_of
from tests.unit.values import token_settings

NOW = 1_800_000_000.0
TOKENS = token_settings(b"x" * 32)
ALICE = User("alice", "acme", frozenset({"editor"}), "hash of wonderland")


class FixedClock:
    def time(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Accounts:
    """Users in a dict."""

    def __init__(self, *users: User) -> None:
        self.revision = 0
        self.users = {user.subject: user for user in users}

    def get(self, subject: str) -> User | None:
        return self.users.get(subject)


class Passwords:
    """Knows ``hash of X`` to be the hash of X, and counts what it was asked."""

    def __init__(self) -> None:
        self.checked: list[str | None] = []
        self.while_checking: Callable[[], None] = lambda: None
        self.overloaded = False

    async def verify(
        self,
        password_hash: str | None,
        password: str,
        *,
        group: str,
        in_turn: Callable[[], Awaitable[None]],
    ) -> bool:
        if self.overloaded:
            raise Overloaded
        await in_turn()
        self.checked.append(password_hash)
        self.while_checking()
        return password_hash == f"hash of {password}"


@pytest.fixture
def accounts() -> Accounts:
    return Accounts(ALICE)


@pytest.fixture
def passwords() -> Passwords:
    return Passwords()


@pytest.fixture
def login(accounts: Accounts, passwords: Passwords) -> Login:
    return Login(accounts, passwords, TOKENS, FixedClock(), revocations_of(FixedClock()).known)


async def test_the_right_password_gives_a_token(login: Login) -> None:
    """It is the user's, and lasts the configured lifetime."""
    issued = await login.login("alice", "wonderland")
    claims = verify(issued.access_token, NOW, TOKENS)
    assert (claims.subject, claims.tenant) == ("alice", "acme")
    assert issued.expires_at == NOW + issued.expires_in
    assert issued.token_id == claims.token_id


@pytest.mark.parametrize(
    ("username", "password"),
    [("alice", "wrong"), ("nobody", "wonderland"), ("Alice", "wonderland"), ("", "")],
)
async def test_wrong_user_and_wrong_password_look_and_cost_the_same(
    login: Login, passwords: Passwords, username: str, password: str
) -> None:
    """One error, one password check, whichever of the two is wrong."""
    with pytest.raises(InvalidCredentials) as caught:
        await login.login(username, password)
    assert caught.value.message == InvalidCredentials.default_message
    assert len(passwords.checked) == 1


async def test_a_disabled_account_looks_like_a_wrong_password(
    login: Login, accounts: Accounts, passwords: Passwords
) -> None:
    """Not even the right password tells that the account is there."""
    accounts.users["alice"] = replace(ALICE, disabled=True)
    with pytest.raises(InvalidCredentials) as caught:
        await login.login("alice", "wonderland")
    assert caught.value.message == InvalidCredentials.default_message
    assert passwords.checked == [ALICE.password_hash]


@pytest.mark.parametrize(
    "password", ["x" * (PASSWORD_LIMIT_BYTES + 1), "é" * PASSWORD_LIMIT_BYTES, "\ud800"]
)
async def test_a_password_nobody_can_have_is_refused_unhashed(
    login: Login, passwords: Passwords, password: str
) -> None:
    """Over-long or no text at all: a refusal that costs nothing."""
    with pytest.raises(InvalidCredentials):
        await login.login("alice", password)
    assert passwords.checked == []


@pytest.mark.parametrize(
    "after",
    [None, replace(ALICE, disabled=True), replace(ALICE, password_hash="hash of other")],
    ids=["removed", "disabled", "password changed"],
)
async def test_an_account_changed_while_its_password_was_checked_gets_no_token(
    login: Login, accounts: Accounts, passwords: Passwords, after: User | None
) -> None:
    """A check may wait seconds for its turn; the accounts of afterwards decide."""
    passwords.while_checking = lambda: accounts.users.update({"alice": after})  # type: ignore[dict-item]
    with pytest.raises(InvalidCredentials):
        await login.login("alice", "wonderland")


def test_an_attempt_names_the_account_and_never_what_was_typed(login: Login) -> None:
    """Equal text has an equal digest while the secret is the same, and without it says nothing."""
    assert login.attempt("alice") == LoginAttempt("alice", "acme")
    typed = login.attempt("my password")
    assert (typed.account, typed.tenant) == (None, None)
    assert typed == login.attempt("my password") != login.attempt("my passwort")
    assert "my password" not in repr(typed)
    login.tokens = token_settings(b"y" * 32)
    assert login.attempt("my password") != typed


def test_a_digest_of_what_was_typed_is_no_password_tag(login: Login) -> None:
    """Both have the same key: a hash typed as a name must not give away a token's claim."""
    tag = password_tag(ALICE, TOKENS.secrets[0])
    assert login.attempt(ALICE.password_hash).typed_digest != tag


async def test_too_many_logins_are_told_to_come_back(login: Login, passwords: Passwords) -> None:
    """That is no verdict about the password."""
    passwords.overloaded = True
    with pytest.raises(Overloaded):
        await login.login("alice", "wonderland")
