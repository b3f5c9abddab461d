"""What every way to prove who one is has in common; each has a file of its own.

``token_method`` knows the gateway's own tokens, ``key_method`` API keys. ``authenticate`` asks
them in turn.
"""

from __future__ import annotations

from typing import Protocol

from gateway.domain.identity import Principal
from gateway.flows.credentials import Credential
from gateway.flows.verified_tokens import VerifiedToken
from gateway.ports import Deadline

# What is kept of a credential while its stream runs, to check it again: its ``kind`` is that of the
# method that accepted it.
RetainedCredential = Credential | VerifiedToken
# What to keep from now on, and whom it stands for.
Known = tuple[RetainedCredential, Principal]


class AuthenticationMethod(Protocol):
    """One way to prove who one is.

    ``None`` for a credential means that it is not this method's to judge: the next one is asked.
    What is this method's, and is not valid, is refused: ``Unauthenticated``, or ``TokenExpired``
    where it was valid once, with a ``reason`` for the log.
    """

    async def authenticate(
        self, credential: Credential, deadline: Deadline, address: str | None
    ) -> Principal | None:
        """The principal at this moment; ``address`` is the client's, or unknown."""

    def retain(self, credential: Credential) -> RetainedCredential | None:
        """What to keep of a credential that was accepted just now, to check it again later."""

    def known(self, retained: RetainedCredential, *, within_s: float) -> Known | None:
        """What ``again`` would return without waiting; ``None``: somebody has to be asked.

        ``retained`` is what this method retained, here and below.
        """

    async def again(
        self, retained: RetainedCredential, deadline: Deadline, *, within_s: float
    ) -> Known:
        """Checks once more what was accepted; ``within_s`` seconds until the next check."""

    def is_unchanged(self, retained: RetainedCredential) -> bool:
        """Whether a check is certain to give the same result, known without doing it."""
