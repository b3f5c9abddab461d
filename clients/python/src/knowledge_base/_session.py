"""Who asks: a key, a token, or a name and a password that get tokens as they are needed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from knowledge_base.models import AccessToken

# A token that ends sooner than this is not sent any more.
_SPARE_S = 30.0
# Of anything else a header cannot be made.
_SENDABLE = re.compile(r"[!-~]+\Z")


@dataclass(slots=True)
class Session:
    """What is sent as ``Authorization``. ``now`` is a clock in seconds that never goes back."""

    credential: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    now: Callable[[], float] = time.monotonic
    ends_at: float | None = None

    def __post_init__(self) -> None:
        if (self.username is None) != (self.password is None):
            raise ValueError("A username needs a password, and a password a username.")
        if self.credential is not None and self.username is not None:
            raise ValueError("Give one of api_key, token, and username with password.")

    @classmethod
    def of(
        cls, api_key: str | None, token: str | None, username: str | None, password: str | None
    ) -> Self:
        """Raises ``ValueError`` where more than one is given."""
        if api_key is not None and token is not None:
            raise ValueError("Give one of api_key, token, and username with password.")
        credential = api_key if api_key is not None else token
        if credential is not None and not _SENDABLE.match(credential):
            raise ValueError("A credential is one word of ASCII; this one is not.")
        return cls(credential, username, password)

    @property
    def can_log_in(self) -> bool:
        return self.username is not None

    @property
    def needs_login(self) -> bool:
        """There is no token yet, or it is about to end, and there is a way to get another one."""
        if not self.can_log_in:
            return False
        return self.credential is None or self._is_over()

    def _is_over(self) -> bool:
        return self.ends_at is not None and self.now() > self.ends_at - _SPARE_S

    def took(self, token: AccessToken) -> None:
        self.credential = token.access_token
        # A token that is good for less than the spare time is used all the same.
        self.ends_at = self.now() + max(token.expires_in, 2 * _SPARE_S)

    def dropped(self, refused: str | None) -> None:
        """This one was refused; a newer one, which another request got meanwhile, stays."""
        if self.credential == refused:
            self.credential, self.ends_at = None, None

    def forget(self) -> None:
        self.credential = self.username = self.password = self.ends_at = None
