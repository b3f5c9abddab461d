"""What signing in with a browser wants of the world, beside the provider's keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gateway.domain.provider_places import Places


@dataclass(frozen=True, slots=True)
class Opened:
    """What was in a seal, and the secret that it was made with."""

    content: bytes = field(repr=False)
    secret: bytes = field(repr=False)


class Seals(Protocol):
    """Texts that only the gateway can make and read, at any replica with the same secret."""

    def seal(self, purpose: str, content: bytes) -> str:
        """``content`` as letters, digits, ``-`` and ``_``; another text each time."""

    def opened(self, purpose: str, text: str) -> Opened | None:
        """What was sealed for this purpose; ``None`` for whatever was not."""

    def holds(self, secret: bytes) -> bool:
        """Whether what was sealed with it can still be opened."""


class Codes(Protocol):
    async def redeem(self, places: Places, code: str, *, verifier: str, redirect_uri: str) -> str:
        """The ID token that a code of the provider's stands for; nothing of it is checked.

        Raises:
            SignInFailed: the provider does not take the code.
            SignInUnavailable: it does not answer, or not as it should.
            Overloaded: too many are redeemed at once.
        """
