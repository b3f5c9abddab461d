"""Login: a username and a password become a token.

Whatever is wrong (no such user, disabled, another password), the answer is the same and takes one
password check's time, so that nobody learns from it which names exist. Failures make the next login
wait, by the same rule for names that do not exist (``login_delays.py``).
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from gateway.domain.identity import User
from gateway.domain.limit_counts import Found, network_of
from gateway.domain.passwords import is_checkable
from gateway.domain.tokens import IssuedToken, TokenSettings, issue
from gateway.errors import InvalidCredentials
from gateway.flows.known_revocations import KnownRevocations
from gateway.flows.limits import Limits
from gateway.flows.login_delays import LoginDelays
from gateway.ports import Clock, PasswordVerifier, Users


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """Whom a login names, for the log: an account that exists, or a digest of what was typed.

    ``token_id`` is of the token that was given out, and ``None`` where the login was refused;
    ``method`` is what it was given out for.
    """

    account: str | None = None
    tenant: str | None = None
    typed_digest: str | None = None
    token_id: str | None = None
    method: str = "password"


class Login:
    def __init__(
        self,
        users: Users,
        passwords: PasswordVerifier,
        tokens: TokenSettings,
        clock: Clock,
        revoked: KnownRevocations,
        limits: Limits | None = None,
        delays: LoginDelays | None = None,
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._clock = clock
        self._revoked = revoked
        self._limits = limits
        self._delays = delays
        self.tokens = tokens

    async def counted(self, username: str) -> list[Found]:
        """What the limits per account say of one more login with this name.

        An unknown name is counted like any other, and none is kept: under its digest.
        """
        if self._limits is None or not self._limits.table.accounts:
            return []
        return await self._limits.of_account(self.digest(username))

    def digest(self, username: str) -> str:
        """What a name that is typed is counted under, and logged where it is nobody's."""
        return _typed_digest(username, self.tokens.secrets[0])

    async def delays(self, name: str, address: str, *, forget: bool) -> dict[str, float]:
        """How long logins of a name, from an address, have to wait, as ``LoginDelays.look``.

        Nothing where failures cost no delay.
        """
        if self._delays is None:
            return {}
        return await self._delays.look(self.digest(name) if name else "", address, forget=forget)

    def attempt(self, username: str) -> LoginAttempt:
        """Whom a login with this name is about, before it is known whether it succeeds.

        People type passwords into the wrong field, so text that names no account is never kept. Its
        digest shows that the same was tried again, at any replica; without the JWT secret nobody
        can try words on it. It is computed either way, for the same time.
        """
        digest = _typed_digest(username, self.tokens.secrets[0])
        user = self._users.get(username)
        if user is None:
            return LoginAttempt(typed_digest=digest)
        return LoginAttempt(user.subject, user.tenant)

    async def login(self, username: str, password: str, address: str = "") -> IssuedToken:
        """A fresh token for the user whose password this is; ``address`` is the client's.

        Raises:
            InvalidCredentials: they do not belong together, or the account is disabled.
            LoginDelayed: too many failed before, of this account or at this address.
            Overloaded: too many logins wait already.
        """
        if not is_checkable(password):
            raise InvalidCredentials(reason="password_unusable")
        if self._delays is None:
            return await self._checked(username, password, address, _go_on)
        digest = _typed_digest(username, self.tokens.secrets[0])
        await self._delays.admit(digest, address, count=False)
        begin = partial(self._delays.admit, digest, address, count=True)
        try:
            issued = await self._checked(username, password, address, begin)
        except InvalidCredentials:
            await self._delays.failed(digest, address)
            raise
        await self._delays.succeeded(digest, address)
        return issued

    async def _checked(
        self, username: str, password: str, address: str, begin: Callable[[], Awaitable[None]]
    ) -> IssuedToken:
        user = self._users.get(username)
        # What the users file says of a person of the company has no password.
        password_hash = (user.password_hash or None) if user else None
        group = network_of(address) if address else ""
        matches = await self._passwords.verify(password_hash, password, group=group, in_turn=begin)
        if user is None or not matches:
            raise InvalidCredentials(reason="mismatch")
        account, generation = self._unchanged(user), self._revoked.generation(user.subject)
        return issue(account, self._clock.time(), self.tokens, generation=generation)

    def _unchanged(self, user: User) -> User:
        """The account after the check, which may have waited while the file was reloaded; here or
        at another replica, which told that the password is no longer this one."""
        current = self._users.get(user.subject)
        if current is None or current.password_hash != user.password_hash:
            raise InvalidCredentials(reason="changed")
        if self._revoked.outdates(current) is not None:
            raise InvalidCredentials(reason="changed")
        if current.disabled:
            raise InvalidCredentials(reason="disabled")
        return current


async def _go_on() -> None:
    return None


def _typed_digest(text: str, secret: bytes) -> str:
    # The words in front keep it apart from the password tags, which have the same key.
    message = b"username typed\n" + text.encode("utf-8", "surrogatepass")
    return hmac.digest(secret, message, "sha256")[:12].hex()
