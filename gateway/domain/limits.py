"""How much is allowed: what a rate, a charge and a lease are, and what is known of each.

A rate is counted by the generic cell rate algorithm (GCRA): one number for each key, the time at
which the key has its whole burst again. What is counted where, in Redis or in the memory that the
workers of a replica share, is the matter of the adapters behind ``ports.SharedState``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

# A lease that was not renewed for this long is free; it is renewed every RENEW_S at the latest.
LEASE_S: Final = 15.0
RENEW_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rate:
    """``count`` in each ``period_s`` seconds, and at most ``burst`` of them at once (1 or more)."""

    count: int
    period_s: float
    burst: int

    @property
    def interval_s(self) -> float:
        """Seconds after which one more is allowed."""
        return self.period_s / self.count


@dataclass(frozen=True, slots=True)
class Charge:
    """``cost`` requests counted under ``key``; a cost above the burst never passes."""

    key: str
    rate: Rate
    cost: int = 1


@dataclass(frozen=True, slots=True)
class Lease:
    """One more open stream under ``key``, of which there may be ``most`` at once."""

    key: str
    most: int


class Budget(NamedTuple):
    """Nothing passes once ``most`` tokens are spent; ``ports.UsageStore`` counts under ``key``.

    ``most`` is what its owner may spend, less what the store was not told yet.
    """

    key: str
    most: int


class Outcome(NamedTuple):
    """What is known of one charge, lease or budget after it was asked for.

    Attributes:
        passed: whether this one alone would have been let through.
        left: how many more would pass right now; of a budget how many tokens, below 0 where more
            were spent than it has.
        retry_after_s: seconds until it would pass; 0 where it did, ``inf`` where it never will.
        reset_s: seconds until all of it is there again, if nothing more is charged.
    """

    passed: bool
    left: int
    retry_after_s: float
    reset_s: float


class Counted(NamedTuple):
    """The state of a rate: ``full_at``, when the whole burst is there again (GCRA's TAT).

    In seconds of whatever clock the store of the key has; 0 for a key that was never charged.
    """

    full_at: float


def charged(rate: Rate, cost: int, counted: Counted, now: float) -> tuple[Outcome, Counted]:
    """What charging ``cost`` at ``now`` gives; the second part counts only if all passed."""
    interval = rate.interval_s
    room = interval * rate.burst
    # A clock that was set back, or a burst made smaller: never longer than the whole burst takes.
    start = min(max(counted.full_at, now), now + room)
    full_at = start + interval * cost
    over = full_at - now - room
    # A millionth of an interval: sums of floats are not exact.
    if over <= interval * 1e-6:
        return Outcome(True, _left(rate, full_at, now), 0.0, full_at - now), Counted(full_at)
    wait = over if cost <= rate.burst else math.inf
    return Outcome(False, _left(rate, start, now), wait, start - now), Counted(counted.full_at)


def _left(rate: Rate, full_at: float, now: float) -> int:
    return max(int((rate.interval_s * rate.burst - (full_at - now)) / rate.interval_s + 1e-6), 0)


def leased(most: int, held: int) -> Outcome:
    """What asking for one more lease gives where ``held`` are held; only ends give one back.

    When the next stream ends nobody knows, so that a second is as good a time as any.
    """
    if held < most:
        return Outcome(True, most - held - 1, 0.0, 0.0)
    return Outcome(False, 0, 1.0 if most > 0 else math.inf, 0.0)


def budgeted(most: int, spent: int) -> Outcome:
    """What is known of a budget of which so much is spent; when it begins anew its owner knows."""
    passed = spent < most
    return Outcome(passed, most - spent, 0.0 if passed else math.inf, 0.0)


@dataclass(frozen=True, slots=True)
class Penalty:
    """Growing delays after failures under a key.

    The first ``free`` failures cost nothing; the next one ``first_s`` seconds, each one after it
    twice as long, never more than ``longest_s``. All is forgotten ``memory_s`` after the last.
    """

    free: int
    first_s: float
    longest_s: float
    memory_s: float

    def delay_s(self, failures: int) -> float:
        """How long the next attempt must wait after so many failures."""
        beyond = failures - self.free
        if beyond <= 0:
            return 0.0
        # The exponent is bounded: 2 ** 10,000 would be no float.
        return min(self.first_s * 2.0 ** min(beyond - 1, 60), self.longest_s)
