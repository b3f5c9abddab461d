"""A clock, accounts and stores of keys and revocations; the stores pass the contract suites."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.adapters.revocation_board import RevocationBoard
from gateway.domain.api_keys import KeyRecord, StoredKey
from gateway.domain.company import SeenPerson
from gateway.domain.identity import Principal, User
from gateway.errors import Conflict, StorageUnavailable
from gateway.flows.known_revocations import KnownRevocations
from gateway.flows.revocations import Revocations
from gateway.ports import Announcements, Clock, Deadline

START = 1_800_000_000.0


class MovableClock:
    """Wall and monotonic time that move together, when told to."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def time(self) -> float:
        return START + self.passed_s

    def monotonic(self) -> float:
        return self.passed_s


class Accounts:
    """Users in a dict; ``put`` and ``drop`` are reloads."""

    def __init__(self, *users: User) -> None:
        self.revision = 0
        self.users = {user.subject: user for user in users}

    def get(self, subject: str) -> User | None:
        return self.users.get(subject)

    def put(self, user: User) -> None:
        self.users[user.subject] = user
        self.revision += 1

    def drop(self, subject: str) -> None:
        del self.users[subject]
        self.revision += 1


class MemoryKeyStore:
    """Keys in a dict. ``down`` fails every call; ``held`` makes look-ups wait; ``asked`` counts.

    A look-up that is held has read its answer already: what changes meanwhile is not in it.
    """

    def __init__(self) -> None:
        self.kept: dict[str, StoredKey] = {}
        self.asked: list[str] = []
        self.first_asked = asyncio.Event()
        self.down = False
        self.held: asyncio.Event | None = None
        self._version = 0

    async def get(self, key_id: str, deadline: Deadline) -> StoredKey | None:
        self.asked.append(key_id)
        self.first_asked.set()
        self._reachable()
        answer = self.kept.get(key_id)
        if self.held is not None:
            await self.held.wait()
            self._reachable()
        return answer

    async def create(self, record: KeyRecord, deadline: Deadline) -> None:
        self._reachable()
        if record.key_id in self.kept:
            raise Conflict
        self._keep(record)

    async def replace(self, record: KeyRecord, version: str, deadline: Deadline) -> None:
        self._reachable()
        if record.key_id not in self.kept or self.kept[record.key_id].version != version:
            raise Conflict
        self._keep(record)

    async def overwrite(self, record: KeyRecord, deadline: Deadline) -> None:
        self._reachable()
        self._keep(record)

    async def list(self, tenant: str, owner: str, deadline: Deadline) -> Sequence[StoredKey]:
        self._reachable()
        return [
            key
            for key in self.kept.values()
            if (key.record.tenant, key.record.owner) == (tenant, owner)
        ]

    async def remove(self, record: KeyRecord, deadline: Deadline) -> None:
        self._reachable()
        self.kept.pop(record.key_id, None)

    async def check(self, deadline: Deadline) -> None:
        self._reachable()

    def edit(self, key_id: str, **changes: object) -> None:
        """Another replica's change, behind the back of whoever is tested."""
        self._keep(replace(self.kept[key_id].record, **changes))  # type: ignore[arg-type]

    def _keep(self, record: KeyRecord) -> None:
        self._version += 1
        self.kept[record.key_id] = StoredKey(record, str(self._version))

    def _reachable(self) -> None:
        if self.down:
            raise StorageUnavailable


class MemoryRevocations:
    """Revocations in a list. ``down`` fails every call; ``since`` has what each listing asked."""

    def __init__(self, clock: Clock) -> None:
        self.kept: list[tuple[float, str]] = []
        self.since: list[float] = []
        self.down = False
        self._clock = clock

    async def add(self, text: str, deadline: Deadline) -> None:
        self._reachable()
        self.kept.append((self._clock.time(), text))

    async def list(self, since: float, deadline: Deadline) -> Sequence[str]:
        self.since.append(since)
        self._reachable()
        return [text for at, text in self.kept if at >= since]

    async def tidy(self, is_over: Callable[[str], bool], deadline: Deadline) -> int:
        self._reachable()
        before = len(self.kept)
        self.kept = [(at, text) for at, text in self.kept if not is_over(text)]
        return before - len(self.kept)

    async def check(self, deadline: Deadline) -> None:
        self._reachable()

    def _reachable(self) -> None:
        if self.down:
            raise StorageUnavailable


class MemoryPeople:
    """Who signed in, in a dict. ``down`` fails every call, ``spoilt`` those about somebody;
    ``written`` counts."""

    def __init__(self) -> None:
        self.kept: dict[str, SeenPerson] = {}
        self.written = 0
        self.down = False
        self.spoilt: set[str] = set()

    async def get(self, subject: str, deadline: Deadline) -> SeenPerson | None:
        if self.down:
            raise StorageUnavailable
        return self.kept.get(subject)

    async def put(self, person: SeenPerson, deadline: Deadline) -> None:
        if self.down or person.subject in self.spoilt:
            raise StorageUnavailable
        self.written += 1
        known = self.kept.get(person.subject)
        if known is None or known.signed_in_at <= person.signed_in_at:
            self.kept[person.subject] = person


def revocations_of(
    clock: Clock,
    board: RevocationBoard | None = None,
    store: MemoryRevocations | None = None,
    announcements: Announcements | None = None,
) -> Revocations:
    """One worker's; workers of one replica have one board, and replicas one store."""
    board = board or RevocationBoard()
    known = KnownRevocations(board, clock)
    return Revocations(known, store or MemoryRevocations(clock), board, clock, announcements)


ALICE = User("alice", "acme", frozenset({"editor", "reader"}), "hash of wonderland")
BOB = User("bob", "acme", frozenset({"reader"}), "hash of builder")


def person(user: User) -> Principal:
    """The principal of a user who logged in."""
    return Principal(user.subject, user.tenant, user.roles, "jwt", "a-token-id")
