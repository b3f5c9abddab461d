"""Stand-ins for what the edge tests are not about: users, keys, store, workflows in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.domain.api_keys import KeyRecord, StoredKey
from gateway.domain.documents import Announced, DocumentRef, ObjectHead, UploadStatus
from gateway.domain.identity import User
from gateway.errors import Conflict
from gateway.ports import Deadline, PresignedUpload

PASSWORD = "correct horse battery staple"


class MovableClock:
    """A clock the test turns; it starts at a date tokens can be issued at."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class DictUsers:
    def __init__(self, *users: User) -> None:
        self.users = {user.subject: user for user in users}
        self.revision = 1

    @property
    def accounts(self) -> Mapping[str, User]:
        return self.users

    def adopt(self, _users: object) -> None:
        """What a reload read: the test's accounts stay."""

    def __len__(self) -> int:
        return len(self.users)

    def get(self, subject: str) -> User | None:
        return self.users.get(subject)

    def reload_if_changed(self) -> bool:
        return False


def some_users() -> DictUsers:
    return DictUsers(
        User("alice", "acme", frozenset({"editor"}), PASSWORD),
        User("bob", "acme", frozenset({"reader"}), PASSWORD),
        User("carol", "other", frozenset({"editor"}), PASSWORD),
        User("root", "acme", frozenset({"admin"}), PASSWORD),
    )


class PlainPasswords:
    """The "hash" is the password itself: argon2 has tests of its own."""

    async def verify(
        self,
        password_hash: str | None,
        password: str,
        *,
        group: str,
        in_turn: Callable[[], Awaitable[None]],
    ) -> bool:
        await in_turn()
        return password_hash == password


@dataclass
class MemoryKeys:
    records: dict[str, StoredKey] = field(default_factory=dict)
    failure: Exception | None = None

    async def get(self, key_id: str, deadline: Deadline) -> StoredKey | None:
        return self.records.get(key_id)

    async def create(self, record: KeyRecord, deadline: Deadline) -> None:
        if record.key_id in self.records:
            raise Conflict
        self.records[record.key_id] = StoredKey(record, "1")

    async def replace(self, record: KeyRecord, version: str, deadline: Deadline) -> None:
        if self.records[record.key_id].version != version:
            raise Conflict
        self.records[record.key_id] = StoredKey(record, str(int(version) + 1))

    async def overwrite(self, record: KeyRecord, deadline: Deadline) -> None:
        version = int(self.records[record.key_id].version) + 1
        self.records[record.key_id] = StoredKey(record, str(version))

    async def remove(self, record: KeyRecord, deadline: Deadline) -> None:
        self.records.pop(record.key_id, None)

    async def list(self, tenant: str, owner: str, deadline: Deadline) -> Sequence[StoredKey]:
        return [
            stored
            for stored in self.records.values()
            if (stored.record.tenant, stored.record.owner) == (tenant, owner)
        ]

    async def check(self, deadline: Deadline) -> None:
        if self.failure is not None:
            raise self.failure from RuntimeError("secret.internal:9000")


@dataclass
class MemoryRevocations:
    """Shared by replicas, where a test has several."""

    kept: list[str] = field(default_factory=list)
    failure: Exception | None = None

    async def add(self, text: str, deadline: Deadline) -> None:
        await self.check(deadline)
        self.kept.append(text)

    async def list(self, since: float, deadline: Deadline) -> Sequence[str]:
        await self.check(deadline)
        return list(self.kept)

    async def tidy(self, is_over: Callable[[str], bool], deadline: Deadline) -> int:
        return 0

    async def check(self, deadline: Deadline) -> None:
        if self.failure is not None:
            raise self.failure from RuntimeError("secret.internal:9000")


@dataclass
class MemoryStore:
    objects: dict[str, ObjectHead] = field(default_factory=dict)
    failure: Exception | None = None

    def presign_post(self, key: str, _: Announced, *, expires_in_s: int) -> PresignedUpload:
        return PresignedUpload(f"http://s3.test/{key}", {"key": key}, {})

    def presign_put(self, key: str, _: Announced, *, expires_in_s: int) -> PresignedUpload:
        return PresignedUpload(f"http://s3.test/{key}", {}, {"Content-Type": "text/plain"})

    def presign_part(self, key: str, *, n: int, **_: object) -> PresignedUpload:
        return PresignedUpload(f"http://s3.test/{key}?partNumber={n}", {}, {})

    def presign_read(self, key: str, *, head: bool, version_id: str | None, **_: object) -> str:
        return f"http://s3.test/{key}?{'HEAD' if head else 'GET'}&versionId={version_id}"

    async def create_multipart(self, key: str, _: Announced, deadline: Deadline) -> str:
        return "upload-1"

    async def complete_multipart(self, key: str, **_: object) -> None:
        return None

    async def abort_multipart(self, key: str, **_: object) -> None:
        return None

    async def head(self, key: str, deadline: Deadline) -> ObjectHead | None:
        return self.objects.get(key)

    async def delete(self, key: str, deadline: Deadline) -> None:
        self.objects.pop(key, None)

    async def check(self, deadline: Deadline) -> None:
        if self.failure is not None:
            raise self.failure from RuntimeError("secret.internal:9000")


@dataclass
class MemoryWorkflows:
    started: dict[str, UploadStatus] = field(default_factory=dict)
    failure: Exception | None = None

    async def start(self, ref: DocumentRef, announced: Announced, deadline: Deadline) -> None:
        if ref.workflow_id in self.started:
            raise Conflict
        self.started[ref.workflow_id] = UploadStatus(
            ref, announced, "awaiting_upload", cancelled=False, created_at=1_800_000_000.0
        )

    async def describe(self, ref: DocumentRef, deadline: Deadline) -> UploadStatus | None:
        return self.started.get(ref.workflow_id)

    async def progress(self, ref: DocumentRef, deadline: Deadline) -> UploadStatus | None:
        return self.started.get(ref.workflow_id)

    async def signal_completed(
        self, ref: DocumentRef, head: ObjectHead, deadline: Deadline
    ) -> None:
        status = self.started[ref.workflow_id]
        self.started[ref.workflow_id] = replace(status, state="processing")

    async def cancel(self, ref: DocumentRef, deadline: Deadline) -> None:
        status = self.started.get(ref.workflow_id)
        if status is not None:
            self.started[ref.workflow_id] = replace(status, cancelled=True)

    async def list_open(
        self, tenant: str, owner: str, deadline: Deadline
    ) -> Sequence[UploadStatus]:
        return [
            status
            for status in self.started.values()
            if (status.ref.tenant, status.ref.owner) == (tenant, owner) and not status.cancelled
        ]

    async def check(self, deadline: Deadline) -> None:
        if self.failure is not None:
            raise self.failure from RuntimeError("secret.internal:9000")
