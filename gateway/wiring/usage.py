"""Counting tokens: made only where the settings name a quota, or say that they are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.domain.limit_table import LimitTable
from gateway.domain.quotas import PERIODS, Quota
from gateway.domain.usage import Account, KeyUse, Spent
from gateway.errors import SharedStateUnavailable
from gateway.flows.usage import Usage
from gateway.flows.usage_delivery import Deliveries
from gateway.ports import Clock, UsageStore
from gateway.settings import Settings
from gateway.wiring.dependency import Building, Built, BuiltDependencies, Dependency
from gateway.wiring.redis_state import counting_redis


class NoUsageStore:
    """Stands where no Redis is named: nothing is kept, and readiness says so."""

    async def add(
        self, number: int, spent: Mapping[Account, Spent], used: Mapping[KeyUse, int]
    ) -> int:
        """Everything is lost at once. Each answer is in its tenant's day and month."""
        tenants = [one.total for to, one in spent.items() if to.key.startswith("tenant/")]
        return sum(tenants) // len(PERIODS)

    async def read(self, keys: Sequence[str]) -> Sequence[Spent]:
        raise SharedStateUnavailable

    async def last_used(self, owner: str) -> Mapping[str, int]:
        raise SharedStateUnavailable

    async def forget(self, keys: Sequence[str]) -> None:
        raise SharedStateUnavailable

    async def check(self) -> None:
        raise SharedStateUnavailable(
            "Tokens are not counted, and no quota holds: that needs GATEWAY_REDIS_URL."
        )


def counts_tokens(settings: Settings) -> bool:
    return settings.usage_counted or any(isinstance(one, Quota) for one in settings.limits)


async def _usage(building: Building) -> Built[UsageStore]:
    """On the connection of what else is counted: what left before a question counts for it."""
    settings = building.settings
    if settings.redis_url is None or not counts_tokens(settings):
        nothing = NoUsageStore()
        return Built(nothing, nothing.check)
    from gateway.adapters.redis_usage import RedisUsage

    redis = counting_redis(building)
    store = RedisUsage(redis.calls, redis.prefix)
    return Built(store, store.check)


def _import_redis(settings: Settings) -> None:
    if settings.redis_url is not None and counts_tokens(settings):
        import gateway.adapters.redis_usage  # noqa: F401


USAGE: Dependency[UsageStore] = Dependency(
    "usage",
    _usage,
    before_fork=_import_redis,
    watched=counts_tokens,
)


def usage_of(building: Building, built: BuiltDependencies, clock: Clock) -> Usage | None:
    """``None`` where no tokens are counted. Its deliveries run from here to the worker's end."""
    settings = building.settings
    if not counts_tokens(settings):
        return None
    store = built.adapter(USAGE)
    deliveries = Deliveries(store)
    building.closing.push_async_callback(deliveries.aclose)
    delivering = building.tasks.spawn(deliveries.run(), "deliver usage")
    building.closing.callback(delivering.cancel)
    return Usage(LimitTable(settings.limits, counts_tokens=True), store, deliveries, clock)
