"""Rates, leases and delays as rules: how much passes, and when the next one would."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.limits import Counted, Outcome, Rate, charged, leased


@given(
    rate=st.builds(
        Rate, st.integers(1, 1000), st.floats(0.01, 3600, allow_nan=False), st.integers(1, 100)
    ),
    full_at=st.floats(0, 1e10),
    now=st.floats(1e9, 2e9),
)
def test_no_state_makes_anybody_wait_longer_than_the_whole_burst_takes(
    rate: Rate, full_at: float, now: float
) -> None:
    """Whatever a clock that was set back, or a burst that was larger, has left behind."""
    outcome, _ = charged(rate, 1, Counted(full_at), now)
    longest = rate.interval_s * (rate.burst + 1)
    assert outcome.retry_after_s <= longest
    assert outcome.reset_s <= longest + 1e-6 * max(longest, 1.0)


def test_a_lease_passes_while_fewer_than_the_most_are_held() -> None:
    assert leased(2, 0) == Outcome(True, 1, 0.0, 0.0)
    assert leased(2, 1) == Outcome(True, 0, 0.0, 0.0)
    assert not leased(2, 2).passed
    assert 0 < leased(2, 2).retry_after_s < math.inf
    assert leased(0, 0).retry_after_s == math.inf
