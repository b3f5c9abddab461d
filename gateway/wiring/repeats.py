"""What was made for an ``Idempotency-Key``: remembered in Redis, where the settings name one.

No dependency of its own: Redis has a row in readiness already, by what is counted in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.flows.repeats import Repeats
from gateway.ports import Clock, RepeatStore
from gateway.settings import Settings
from gateway.wiring.dependency import Building
from gateway.wiring.redis_state import RELOADED, redis_access, redis_contexts


def requests_sent_again(
    building: Building, clock: Clock
) -> tuple[Repeats, Callable[[Settings], None]]:
    """With what takes over other settings, at a reload."""
    settings = building.settings
    store, reload = _store(building)
    ignores = settings.idempotency_without_redis == "ignore"
    return Repeats(store, clock, kept_s=settings.idempotency_ttl, ignores=ignores), reload


def _store(building: Building) -> tuple[RepeatStore | None, Callable[[Settings], None]]:
    """On a connection of its own, made by the first request with a key: what counts limits is not
    to wait behind it."""
    current = building.settings

    def reload(fresh: Settings) -> None:
        nonlocal current
        current = replace(current, **{name: getattr(fresh, name) for name in RELOADED})

    if current.redis_url is None:
        return None, reload
    from gateway.adapters.redis_repeats import RedisRepeats

    contexts = redis_contexts(building)
    store = RedisRepeats(lambda: redis_access(current, contexts))
    building.closing.push_async_callback(store.aclose)
    building.tls.on_change("redis", current.tls_files("redis"), store.drop)
    return store, reload
