"""The ways a revocation takes out of this replica: the keys' bucket, and Redis where it is set."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from gateway.adapters.s3_client import S3Client, make_client
from gateway.adapters.s3_revocations import S3Revocations
from gateway.ports import Announcements, Deadline, RevocationStore
from gateway.settings import Settings
from gateway.wiring.dependency import Building
from gateway.wiring.from_settings import revocations_access
from gateway.wiring.redis_state import RELOADED as REDIS_RELOADED
from gateway.wiring.redis_state import redis_access, redis_contexts

RELOADED = frozenset({"s3_keys_access_key", "s3_keys_secret_key"}) | REDIS_RELOADED

Reload = Callable[[Settings], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RevocationWays:
    """``announcements`` are ``None`` where there is no Redis."""

    store: RevocationStore
    announcements: Announcements | None = None

    async def check(self, deadline: Deadline) -> None:
        """Redis has a row of its own in readiness: without it the store is enough."""
        await self.store.check(deadline)


def ways_out(building: Building, client: S3Client) -> tuple[RevocationWays, Reload]:
    """With what takes over other settings. ``client`` is theirs alone, so that no flood of keys to
    be looked up is in their way."""
    current = building.settings
    store = S3Revocations(client, current.s3_keys_bucket, time.time)
    announcements: Announcements | None = None
    if current.redis_url is not None:
        from gateway.adapters.redis_announcements import RedisAnnouncements

        contexts = redis_contexts(building)
        announcements = RedisAnnouncements(lambda: redis_access(current, contexts))
        building.closing.push_async_callback(announcements.aclose)

    async def reload(fresh: Settings) -> None:
        nonlocal current
        current = replace(current, **{name: getattr(fresh, name) for name in RELOADED})
        client.use(revocations_access(current))

    return RevocationWays(store, announcements), reload


def prepare(settings: Settings) -> None:
    """In the process that workers are forked from. It connects nothing."""
    make_client(revocations_access(settings))
    if settings.redis_url is not None:
        import gateway.adapters.redis_announcements  # noqa: F401
