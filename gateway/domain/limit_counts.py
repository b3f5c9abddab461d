"""What is asked of the limits of one request, and what their outcomes mean for its answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

from gateway.domain.identity import Principal
from gateway.domain.limit_rules import Limit
from gateway.domain.limits import Charge, Lease, Outcome
from gateway.errors import RateLimited

# An IPv6 client has all addresses of such a network to himself.
IPV6_BITS = 64
# A replica's share of a limit on open streams may be none while Redis is away.
NEVER_S = 3600


class Found(NamedTuple):
    """A limit that was asked for, and what came of it."""

    limit: Limit
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Asked:
    """Limits with the keys that they are counted under: first the rates, then the open streams."""

    limits: Sequence[Limit]
    charges: Sequence[Charge]
    leases: Sequence[Lease]

    def found(self, outcomes: Sequence[Outcome]) -> list[Found]:
        """Nothing where nobody could say."""
        if not outcomes:
            return []
        return [Found(*both) for both in zip(self.limits, outcomes, strict=True)]


def asked_of(limits: Iterable[Limit], who: Principal) -> Asked:
    """What is counted for ``who``; a limit per key counts nobody who has a token."""
    return asked_under(limits, lambda per: counted_of(per, who))


def asked_under(limits: Iterable[Limit], counted_for: Callable[[str], str | None]) -> Asked:
    """``counted_for`` says whom a limit counts, by its ``per``; ``None`` is nobody."""
    rates: list[Limit] = []
    opens: list[Limit] = []
    charges: list[Charge] = []
    leases: list[Lease] = []
    for limit in limits:
        counted = counted_for(limit.per)
        if counted is None:
            continue
        key = key_of(limit, counted)
        if limit.rate is None:
            opens.append(limit)
            leases.append(Lease(key, limit.most))
        else:
            rates.append(limit)
            charges.append(Charge(key, limit.rate))
    return Asked(rates + opens, charges, leases)


def counted_of(per: str, who: Principal) -> str | None:
    """Whom a limit of a caller counts for."""
    if per == "subject":
        return f"{who.tenant}/{who.subject}"
    if per == "tenant":
        return who.tenant
    return who.credential_id if who.auth == "api_key" else None


def key_of(limit: Limit, counted: str) -> str:
    """What ``ports.SharedState`` counts under."""
    return f"{limit.name}/{counted}"


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """What a client's address counts as: an IPv6 one by its /64, and itself otherwise."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, IPV6_BITS), strict=False))
    return str(parsed)


class LimitReached(RateLimited):
    """Refused by ``limit``."""

    def __init__(self, limit: Limit, left: int, retry_after_s: int) -> None:
        self.limit = limit
        message = None
        if limit.rate is None:
            message = f"Too many open streams per {limit.per}: end one first."
        details = {
            "limit": limit.name,
            "allowed": f"{limit.allowed} per {limit.per}",
            "left": left,
            "retry_after_s": retry_after_s,
        }
        super().__init__(message, details=details, retry_after_s=retry_after_s)


def refusal(found: Sequence[Found]) -> LimitReached | None:
    """The refusal by whatever did not pass; of several the one that lasts longest."""
    refusing = [one for one in found if not one.outcome.passed]
    if not refusing:
        return None
    worst = max(refusing, key=lambda one: one.outcome.retry_after_s)
    return LimitReached(worst.limit, worst.outcome.left, whole_s(worst.outcome.retry_after_s))


def whole_s(seconds: float) -> int:
    """Rounded up, as 0 would mean now; what never passes is asked for again in an hour."""
    return max(math.ceil(seconds - 1e-6), 1) if seconds < math.inf else NEVER_S
