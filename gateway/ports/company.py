"""The company's identity provider, and what is remembered of the people it vouches for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from gateway.domain.company import SeenPerson
from gateway.ports.time import Deadline

if TYPE_CHECKING:
    # Loaded only where the company's sign-in is on.
    from gateway.domain.public_keys import PublicKeys


class IdentityProvider(Protocol):
    """An OpenID Connect provider. Raises ``SignInUnavailable``; a call takes seconds at most."""

    async def metadata(self) -> Mapping[str, Any]:
        """What it publishes of itself (OpenID Connect Discovery 1.0, 3); its issuer is checked."""

    async def keys(self) -> PublicKeys:
        """The keys that it signs with now."""


class People(Protocol):
    """Who people were at their last sign-in, shared by all replicas. ``StorageUnavailable``."""

    async def get(self, subject: str, deadline: Deadline) -> SeenPerson | None: ...

    async def put(self, person: SeenPerson, deadline: Deadline) -> None:
        """Of two sign-ins the later one stays, in whatever order they are put."""
