"""What an answer's head says of limits and quotas.

The two header fields are those of draft-ietf-httpapi-ratelimit-headers-11: lists of structured
fields (RFC 9651), each item a limit's name with its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from gateway.domain.limit_counts import Found, whole_s
from gateway.domain.limit_rules import Limit
from gateway.domain.limits import Outcome
from gateway.domain.quotas import Quota, period_at
from gateway.domain.usage import QuotaState


def header_fields(
    found: Sequence[Found], quotas: Sequence[QuotaState] = (), now: float = 0.0
) -> tuple[str, str]:
    """The values of ``RateLimit-Policy`` and ``RateLimit``; the limits as they were asked for.

    Args:
        now: Unix seconds; of use where there are quotas.
    """
    policies = [policy_item(one.limit) for one in found]
    services = [service_item(one) for one in found]
    for one in quotas:
        policies.append(quota_policy_item(one.quota, one.account.ends_at))
        services.append(quota_service_item(one, now))
    return ", ".join(policies), ", ".join(services)


@lru_cache(maxsize=1024)
def policy_item(limit: Limit) -> str:
    """A limit's item of ``RateLimit-Policy``: how many (``q``) in how many seconds (``w``)."""
    if limit.rate is None:
        return f'"{limit.name}";q={limit.most};qu="concurrent-requests"'
    rate = limit.rate
    burst = "" if rate.burst == rate.count else f";kbg-burst={rate.burst}"
    return f'"{limit.name}";q={rate.count};w={int(rate.period_s)}{burst}'


def service_item(one: Found) -> str:
    """A limit's item of ``RateLimit``: how many are left (``r``), and when one more is (``t``)."""
    limit, outcome = one.limit, one.outcome
    more_s = _more_in_s(limit, outcome)
    when = "" if more_s is None else f";t={more_s}"
    return f'"{limit.name}";r={outcome.left}{when}'


@lru_cache(maxsize=1024)
def quota_policy_item(quota: Quota, ends_at: int) -> str:
    """As ``policy_item``, of the day or month with this end.

    Of units (``qu``) the draft knows no tokens; one of ours has our name.
    """
    window_s = ends_at - period_at(quota.period, ends_at - 1).begins_at
    return f'"{quota.name}";q={quota.tokens};qu="kbg-tokens";w={window_s}'


def quota_service_item(one: QuotaState, now: float) -> str:
    """How many tokens were left before this answer, and when all of them are again."""
    renews_s = max(math.ceil(one.account.ends_at - now), 1)
    return f'"{one.quota.name}";r={one.left};t={renews_s}'


def _more_in_s(limit: Limit, outcome: Outcome) -> int | None:
    """Whole seconds, rounded up; ``None`` where all is there or nobody knows."""
    rate = limit.rate
    if rate is None:
        return None
    if not outcome.passed:
        return whole_s(outcome.retry_after_s)
    if outcome.left >= rate.burst:
        return None
    wait_s = outcome.reset_s - (rate.burst - outcome.left - 1) * rate.interval_s
    return whole_s(wait_s)
