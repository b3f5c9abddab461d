"""Our rates against another implementation of GCRA (throttled-py), over random sequences.

Times and intervals are halves of halves, of which sums of floats are exact: the two may round
differently, and must not decide differently.
"""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from throttled import Quota, RateLimiterRegistry, per_duration, store
from throttled import Rate as TheirRate

from gateway.adapters.memory_state import MemoryState, SharedMemory
from gateway.domain.limits import Charge, Rate

from .worlds import MovedClock

STEPS = 400


def some_rate(random: Random) -> Rate:
    # Theirs takes whole seconds.
    period_s, count = random.choice([1, 2, 16, 64]), random.choice([1, 2, 8, 32])
    return Rate(count, float(period_s), random.choice([1, 2, 7, 50]))


def theirs(rate: Rate) -> RateLimiterRegistry:
    quota = per_duration(timedelta(seconds=rate.period_s), limit=rate.count, burst=rate.burst)
    assert isinstance(quota, Quota)
    assert isinstance(quota.rate, TheirRate)
    return RateLimiterRegistry.get("gcra")(quota, store.MemoryStore())


@pytest.mark.parametrize("seed", range(24))
async def test_each_decision_is_that_of_another_implementation(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it passes, how many are left, when it would pass, when all is there again."""
    random, clock = Random(seed), MovedClock()
    monkeypatch.setattr("throttled.utils.now_mono_f", clock)
    rate = some_rate(random)
    oracle = theirs(rate)
    worker = MemoryState(SharedMemory(4), clock)
    keys = ["a", "b", "c"]
    for _ in range(STEPS):
        clock.now += random.choice([0, 0, 0, 1, 2, 8, 64, 640]) / 64
        key, cost = random.choice(keys), random.choice([1, 1, 1, 2, rate.burst])

        (ours,) = await worker.admit([Charge(key, rate, cost)])
        other = oracle.limit(key, cost)

        assert ours.passed == (not other.limited)
        assert ours.left == other.state.remaining
        assert ours.reset_s == pytest.approx(other.state.reset_after)
        if cost <= rate.burst:
            assert ours.retry_after_s == pytest.approx(other.state.retry_after)
    worker.close()
