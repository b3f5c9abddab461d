"""Counting in Redis: made from the settings, with the replica's own memory for when it is away.

Redis's client is imported here alone, and only where ``GATEWAY_REDIS_URL`` is set.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from gateway.ports import SharedState
from gateway.settings import Settings
from gateway.telemetry import samples
from gateway.telemetry.samples import Sample
from gateway.wiring.dependency import Building, Built

if TYPE_CHECKING:
    from gateway.adapters.redis_access import RedisAccess
    from gateway.adapters.redis_state import RedisState

_REDIS = "redis"
# What a reload takes over: for new connections; those that are open go on.
RELOADED = frozenset({"redis_password", "redis_sentinel_password"})


def import_redis(settings: Settings) -> None:
    """In the process that workers are forked from. It connects nothing."""
    if settings.redis_url is not None:
        import gateway.adapters.fallback_state
        import gateway.adapters.redis_repeats
        import gateway.adapters.redis_state  # noqa: F401


async def counted_in_redis(
    building: Building, alone: SharedState, *, serves: bool
) -> Built[SharedState]:
    """``alone`` counts for this replica while Redis is away; ``serves``: whether it is one."""
    from gateway.adapters.fallback_state import FallbackState
    from gateway.adapters.redis_state import NO_REPLICA, REPLICA, RedisState

    current, contexts = building.settings, redis_contexts(building)
    replica = REPLICA if serves else NO_REPLICA
    redis = RedisState(lambda: redis_access(current, contexts), replica)
    building.handed_on[_REDIS] = redis
    building.closing.push_async_callback(redis.aclose)
    # The one connection lasts as long as the worker: an authority that is trusted no more ends it.
    building.tls.on_change("redis", building.settings.tls_files("redis"), redis.drop)
    state = FallbackState(redis, alone, asyncio.get_running_loop().time, Random())
    watching = building.tasks.spawn(state.run(), "watch redis")
    building.closing.callback(watching.cancel)

    def counted() -> Iterator[Sample]:
        return samples.shared_state(state.mode, state.replicas, state.losses)

    async def reload(fresh: Settings) -> None:
        nonlocal current
        current = replace(current, **{name: getattr(fresh, name) for name in RELOADED})

    return Built(state, state.check, (counted,), reload=reload, note=lambda: redis.server)


def counting_redis(building: Building) -> RedisState:
    """What ``counted_in_redis`` made for this worker."""
    redis: RedisState = building.handed_on[_REDIS]
    return redis


def redis_contexts(building: Building) -> Callable[[], ssl.SSLContext] | None:
    url = building.settings.redis_url
    if url is None or not url.tls:
        return None
    return building.tls.context("redis", building.settings.tls_files("redis"))


def redis_access(settings: Settings, tls: Callable[[], ssl.SSLContext] | None) -> RedisAccess:
    from gateway.adapters.redis_access import RedisAccess

    url = settings.redis_url
    if url is None:
        raise ValueError("no Redis in the settings")
    return RedisAccess(
        url.addresses,
        settings.redis_prefix,
        settings.redis_timeout,
        master=url.master,
        database=url.database,
        username=url.username,
        password=settings.redis_password or url.password,
        sentinel_password=settings.redis_sentinel_password,
        tls=tls,
    )
