"""What signing in with a browser wants of the world, beside the provider's keys."""

from __future__ import annotations

from typing import Protocol

from gateway.domain.provider_places import Places


class Seals(Protocol):
    """Texts that only the gateway can make and read, at any replica with the same secret."""

    def seal(self, purpose: str, content: bytes) -> str:
        """``content`` as letters, digits, ``-`` and ``_``; another text each time."""

    def opened(self, purpose: str, text: str) -> bytes | None:
        """What was sealed for this purpose; ``None`` for whatever was not."""


class Codes(Protocol):
    async def redeem(self, places: Places, code: str, *, verifier: str, redirect_uri: str) -> str:
        """The ID token that a code of the provider's stands for; nothing of it is checked.

        Raises:
            SignInFailed: the provider does not take the code.
            SignInUnavailable: it does not answer, or not as it should.
            Overloaded: too many are redeemed at once.
        """
