"""How many tokens somebody may spend in a day or a month of UTC, and the refusal of who spent them.

A quota is written as the other limits are (``limit_rules``), and asked for before the core is: an
answer that has begun is told to its end, whatever it costs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from gateway.errors import QuotaExceeded

# Whom tokens are counted for: always for all of them, so that a new quota knows what was spent.
SPENDERS: Final = ("subject", "key", "tenant")
PERIODS: Final = ("day", "month")
MOST_TOKENS: Final = 1_000_000_000_000
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Quota:
    """``tokens`` in each ``period`` of UTC.

    Attributes:
        actions: as they were written; those whose answers cost tokens are among them.
        per: whom it counts for, one of ``SPENDERS``.
        name: stays the same while only its number changes.
        allowed: what it allows, as somebody would write it.
    """

    actions: str
    per: str
    tokens: int
    period: str
    name: str = field(init=False)
    allowed: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.actions}/{self.per}/tokens/{self.period}")
        object.__setattr__(self, "allowed", f"{self.tokens} tokens/{self.period}")

    def __hash__(self) -> int:
        return hash((self.name, self.tokens))

    def __str__(self) -> str:
        return f"{self.actions} {self.allowed} per {self.per}"


@dataclass(frozen=True, slots=True)
class Period:
    """One day or month: its label (``2026-11-28``, ``2026-11``) and its ends in Unix seconds."""

    label: str
    begins_at: int
    ends_at: int


def period_at(period: str, now: float) -> Period:
    """The day or month of UTC that ``now``, in Unix seconds, is in."""
    return _period_of(period, int(now // DAY_S) * DAY_S)


@lru_cache(maxsize=16)
def _period_of(period: str, midnight: int) -> Period:
    if period == "day":
        return Period(f"{_utc(midnight):%Y-%m-%d}", midnight, midnight + DAY_S)
    first = _utc(midnight).replace(day=1)
    following = first.year + first.month // 12, first.month % 12 + 1
    ends_at = datetime(*following, 1, tzinfo=UTC).timestamp()
    return Period(f"{first:%Y-%m}", int(first.timestamp()), int(ends_at))


def _utc(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def utc_text(unix_s: float) -> str:
    """RFC 3339, whole seconds."""
    return f"{_utc(int(unix_s)):%Y-%m-%dT%H:%M:%SZ}"


class QuotaSpent(QuotaExceeded):
    """All tokens of ``quota`` are spent."""

    def __init__(self, quota: Quota, used: int, renews_at: int, now: float) -> None:
        self.quota = quota
        retry_after_s = max(math.ceil(renews_at - now), 1)
        details = {
            "quota": quota.name,
            "allowed": f"{quota.allowed} per {quota.per}",
            "used": used,
            "limit": quota.tokens,
            "renews_at": utc_text(renews_at),
            "retry_after_s": retry_after_s,
        }
        super().__init__(details=details, retry_after_s=retry_after_s)


def spent_quota(quotas: Iterable[tuple[Quota, int]], now: float) -> QuotaSpent | None:
    """The refusal by whatever is spent; of several the one that lasts longest."""
    over = [(quota, used) for quota, used in quotas if used >= quota.tokens]
    if not over:
        return None
    quota, used = max(over, key=lambda one: period_at(one[0].period, now).ends_at)
    return QuotaSpent(quota, used, period_at(quota.period, now).ends_at, now)
