"""What is counted elsewhere, read once a tick as samples: a metric, its labels, the value.

Whatever counts (a pool, a cache, the balancer) keeps plain numbers and knows nothing of metrics;
here these numbers get their metric. Of a counter the total is given, as it is counted there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from gateway.domain.balancing import Balancer, RetryBudget
from gateway.domain.company import OUTCOMES, Outcome
from gateway.domain.hit_count import HitCount
from gateway.domain.usage import Spent
from gateway.telemetry import catalogue as c
from gateway.telemetry import core_metrics, repeat_metrics, shared_state_metrics, sign_in_metrics
from gateway.telemetry import usage_metrics as u
from gateway.telemetry.metric import Counter, Gauge, LabelSet

Sample = tuple[Counter | Gauge, LabelSet, float]
SampleSource = Callable[[], Iterable[Sample]]


class Slots(Protocol):
    limit: int
    in_use: int

    @property
    def waiting(self) -> int: ...


class Pool(Protocol):
    """A pool of connections; ``http_client.transport.CoreTransport`` is the real one."""

    @property
    def slots(self) -> Slots: ...

    @property
    def idle_connections(self) -> int: ...

    @property
    def open_connections(self) -> int: ...


def pool(name: str, one: Pool) -> Iterator[Sample]:
    yield c.POOL, (name, "open"), one.open_connections
    yield c.POOL, (name, "idle"), one.idle_connections
    yield c.POOL, (name, "in_use"), one.slots.in_use
    yield c.POOL, (name, "waiting"), one.slots.waiting
    yield c.POOL_LIMIT, (name,), one.slots.limit


def caches(policy: HitCount, token: HitCount, key: HitCount) -> Iterator[Sample]:
    for name, count in (("policy", policy), ("token", token), ("key", key)):
        yield c.CACHE_LOOKUPS, (name, "hit"), count.hits
        yield c.CACHE_LOOKUPS, (name, "miss"), count.misses


def repeats(counts: Mapping[str, int]) -> Iterator[Sample]:
    """``counts`` by ``domain.repeats.OUTCOMES``."""
    for outcome, count in counts.items():
        yield repeat_metrics.REPEATS, (outcome,), count


def answers(count: HitCount) -> Iterator[Sample]:
    yield c.CACHE_LOOKUPS, ("answer", "hit"), count.hits
    yield c.CACHE_LOOKUPS, ("answer", "miss"), count.misses


class Revocations(Protocol):
    """``flows.revocations.Revocations`` is the real one."""

    untold: int

    @property
    def counts(self) -> Iterable[tuple[str, int]]: ...

    @property
    def store_age_s(self) -> float: ...

    @property
    def unheard_s(self) -> float | None: ...

    @property
    def hears(self) -> bool: ...


def revocations(one: Revocations) -> Iterator[Sample]:
    for kind, known in one.counts:
        yield shared_state_metrics.REVOCATIONS, (kind,), known
    yield shared_state_metrics.REVOCATIONS_AGE, (), one.store_age_s
    yield shared_state_metrics.REVOCATIONS_UNTOLD, (), one.untold
    if one.unheard_s is not None:
        yield shared_state_metrics.REVOCATIONS_HEARD, (), one.unheard_s
        yield shared_state_metrics.REVOCATIONS_CHANNEL, ("up",), float(one.hears)
        yield shared_state_metrics.REVOCATIONS_CHANNEL, ("down",), float(not one.hears)


def core(cores: Balancer, retries: RetryBudget, now: float) -> Iterator[Sample]:
    """``now`` is a time of the clock that the balancer is used with."""
    yield c.CORE_ADDRESSES, ("known",), len(cores)
    yield c.CORE_ADDRESSES, ("ejected",), len(cores.ejected(now))
    for outcome, times in cores.ejections.items():
        yield c.EJECTIONS, (outcome.value,), times
    yield c.RETRIES, ("made",), retries.taken
    yield c.RETRIES, ("over_budget",), retries.refused


class CoreLimits(Protocol):
    """``adapters.limited_calls.CoreLimits`` is the real one."""

    @property
    def refused(self) -> Mapping[str, int]: ...

    @property
    def places(self) -> tuple[float, int, int]: ...


def core_limits(one: CoreLimits) -> Iterator[Sample]:
    limit, questions, documents = one.places
    yield core_metrics.CORE_PLACES, ("limit",), limit
    yield core_metrics.CORE_PLACES, ("questions",), questions
    yield core_metrics.CORE_PLACES, ("documents",), documents
    for work, times in one.refused.items():
        yield core_metrics.CORE_OVERLOADED, (work,), times


def limits(unchecked: int) -> Iterator[Sample]:
    yield c.UNLIMITED, (), unchecked


class TokenCounts(Protocol):
    """``flows.usage.Usage`` is the real one."""

    unchecked: int

    @property
    def charged(self) -> Spent: ...

    @property
    def waiting(self) -> int: ...

    @property
    def lost_tokens(self) -> int: ...


def tokens(one: TokenCounts) -> Iterator[Sample]:
    charged = one.charged
    yield u.TOKENS, ("prompt",), charged.prompt
    yield u.TOKENS, ("completion",), charged.completion
    yield u.TOKENS, ("estimated",), charged.estimated
    yield u.QUOTAS_UNCHECKED, (), one.unchecked
    yield u.USAGE_WAITING, (), one.waiting
    yield u.USAGE_LOST, (), one.lost_tokens


def dependency(name: str, state: str, latency_s: float | None) -> Iterator[Sample]:
    for one in c.DEPENDENCY_STATES:
        yield c.DEPENDENCY, (name, one), float(one == state)
    if latency_s is not None:
        yield c.DEPENDENCY_SECONDS, (name,), latency_s


def shared_state(mode: str, replicas: int, losses: int) -> Iterator[Sample]:
    """``mode`` is one of ``STATE_MODES``."""
    for one in shared_state_metrics.STATE_MODES:
        yield shared_state_metrics.STATE_WORKERS, (one,), float(one == mode)
    yield shared_state_metrics.STATE_REPLICAS, (), replicas
    yield shared_state_metrics.STATE_LOSSES, (), losses


def shared_memory(evicted: Mapping[str, int], unlocked: int) -> Iterator[Sample]:
    """``evicted`` by ``STATE_TABLES``."""
    for table, count in evicted.items():
        yield shared_state_metrics.STATE_EVICTED, (table,), count
    yield shared_state_metrics.STATE_UNLOCKED, (), unlocked


def worker(state: str) -> Iterator[Sample]:
    for one in c.WORKER_STATES:
        yield c.WORKERS, (one,), float(one == state)


class KeyRefreshes(Protocol):
    """``flows.provider_keys.ProviderKeys`` is the real one."""

    refreshed: int
    failed: int


def key_refreshes(keys: KeyRefreshes) -> Iterator[Sample]:
    yield sign_in_metrics.KEY_REFRESHES, ("ok",), keys.refreshed
    yield sign_in_metrics.KEY_REFRESHES, ("failed",), keys.failed


def sign_ins(outcomes: Mapping[Outcome, int], lost: int) -> Iterator[Sample]:
    for outcome in OUTCOMES:
        yield sign_in_metrics.SIGN_INS, (outcome,), outcomes.get(outcome, 0)
    yield sign_in_metrics.SIGN_INS_LOST, (), lost


def browser_sign_ins(outcomes: Mapping[Outcome, int]) -> Iterator[Sample]:
    for outcome in OUTCOMES:
        yield sign_in_metrics.BROWSER_SIGN_INS, (outcome,), outcomes.get(outcome, 0)
