"""Who is asking and what they may: users, passwords, API keys, the policy."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from gateway.domain.api_keys import KeyRecord, StoredKey
from gateway.domain.identity import User
from gateway.domain.policy import Decision, PolicyQuestion
from gateway.ports.time import Deadline


class Users(Protocol):
    """The accounts, in memory; ``revision`` changes with every reload (caches empty on it)."""

    @property
    def revision(self) -> int: ...

    def get(self, subject: str) -> User | None: ...


class PasswordVerifier(Protocol):
    async def verify(
        self,
        password_hash: str | None,
        password: str,
        *,
        group: str,
        in_turn: Callable[[], Awaitable[None]],
    ) -> bool:
        """Costs the same for ``None`` (an unknown user) as for a hash; ``Overloaded`` when full.

        ``group`` is who shares a turn with whom: the client's address. ``in_turn`` is awaited right
        before the check, one at a time; what it raises is raised, and nothing is checked.
        """


class KeyStore(Protocol):
    """API keys, shared by every worker and replica. Raises ``StorageUnavailable``."""

    async def get(self, key_id: str, deadline: Deadline) -> StoredKey | None: ...

    async def create(self, record: KeyRecord, deadline: Deadline) -> None:
        """``Conflict`` when the id is taken."""

    async def replace(self, record: KeyRecord, version: str, deadline: Deadline) -> None:
        """``Conflict`` when somebody else changed it since ``version``."""

    async def overwrite(self, record: KeyRecord, deadline: Deadline) -> None:
        """Replaces it whatever it is now: a ``replace`` that is under way has lost."""

    async def list(self, tenant: str, owner: str, deadline: Deadline) -> Sequence[StoredKey]: ...

    async def remove(self, record: KeyRecord, deadline: Deadline) -> None:
        """Forgets a dead key for good; nothing there is success."""

    async def check(self, deadline: Deadline) -> None: ...


class Policy(Protocol):
    """May they? Raises ``PolicyUnavailable`` when there is no answer; that is never an allow."""

    @property
    def revision(self) -> str: ...

    async def decide(self, question: PolicyQuestion) -> Decision: ...

    async def check(self) -> None:
        """Raises ``PolicyUnavailable`` (down) or ``PolicyBroken`` (loaded and wrong)."""


class PolicyEngine(Policy, Protocol):
    """What evaluates the policy. One in another process reloads by itself: both do nothing."""

    async def faults(self) -> list[str]:
        """What is wrong with the policy as it is now; nothing: ``reload`` takes over just that."""

    async def reload(self) -> None:
        """Raises ``PolicyBroken``, and then the policy of before stays."""
