"""Login: a username and a password become a token.

Whatever is wrong (no such user, disabled, another password), the answer is the same and takes one
password check's time, so that nobody learns from it which names exist.
"""

from __future__ import annotations

from gateway.domain.identity import User
from gateway.domain.passwords import is_checkable
from gateway.domain.tokens import IssuedToken, TokenSettings, issue
from gateway.errors import InvalidCredentials
from gateway.ports import Clock, PasswordVerifier, Users


class Login:
    def __init__(
        self, users: Users, passwords: PasswordVerifier, tokens: TokenSettings, clock: Clock
    ) -> None:
        self._users = users
        self._passwords = passwords
        self._clock = clock
        self.tokens = tokens

    async def login(self, username: str, password: str) -> IssuedToken:
        """A fresh token for the user whose password this is.

        Raises:
            InvalidCredentials: they do not belong together, or the account is disabled.
            Overloaded: too many logins wait already.
        """
        if not is_checkable(password):
            raise InvalidCredentials(reason="password_unusable")
        user = self._users.get(username)
        matches = await self._passwords.verify(user.password_hash if user else None, password)
        if user is None or not matches:
            raise InvalidCredentials(reason="mismatch")
        return issue(self._unchanged(user), self._clock.time(), self.tokens)

    def _unchanged(self, user: User) -> User:
        """The account after the check, which may have waited while the file was reloaded."""
        current = self._users.get(user.subject)
        if current is None or current.password_hash != user.password_hash:
            raise InvalidCredentials(reason="changed")
        if current.disabled:
            raise InvalidCredentials(reason="disabled")
        return current
