"""``/limits`` of the admin listener: what is counted for somebody, and forgetting it.

``GET /limits?subject=acme/ada`` shows, ``DELETE`` forgets. ``gateway limits`` asks; see
``domain/operator_requests.py`` for who may.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from gateway.domain.forwarded import plain_address
from gateway.domain.limit_counts import Found
from gateway.domain.limit_rules import PER
from gateway.domain.operator_requests import is_signed
from gateway.domain.quotas import Quota
from gateway.errors import (
    Forbidden,
    MethodNotAllowed,
    NotFound,
    SharedStateUnavailable,
    ValidationFailed,
)
from gateway.flows.limits import Limits
from gateway.flows.login import Login
from gateway.flows.usage import Usage
from gateway.ports import Clock

PATH = "/limits"


class LimitsDesk:
    """What an operator may ask of one worker."""

    def __init__(
        self, limits: Limits | None, usage: Usage | None, login: Login, clock: Clock
    ) -> None:
        """``limits`` and ``usage`` where there are any; ``login`` knows secrets and delays."""
        self._limits = limits
        self._usage = usage
        self._login = login
        self._clock = clock

    async def answer(self, method: str, target: str, authorization: str) -> dict[str, Any]:
        """What is counted now; of a ``DELETE``, what was before it.

        Raises:
            MethodNotAllowed, Forbidden, ValidationFailed, NotFound, SharedStateUnavailable
        """
        if method not in ("GET", "DELETE"):
            raise MethodNotAllowed(headers={"Allow": "GET, DELETE"})
        secrets, now = self._login.tokens.secrets, self._clock.time()
        if not is_signed(secrets, method, target, authorization, now):
            raise Forbidden("Only an operator's signed request may; `gateway limits` makes one.")
        whom, forget = _whom(target), method == "DELETE"
        rows = [row for per, who in whom for row in await self._limited(per, who, forget=forget)]
        rows += [row for per, who in whom for row in await self._spent(per, who, forget=forget)]
        return {"limits": rows + await self._delayed(dict(whom), forget=forget)}

    async def _limited(self, per: str, who: str, *, forget: bool) -> list[dict[str, Any]]:
        if self._limits is None:
            return []
        counted = self._login.digest(who) if per == "account" else who
        found = await self._limits.look(per, counted, forget=forget)
        return [_row(one, who) for one in found]

    async def _spent(self, per: str, who: str, *, forget: bool) -> list[dict[str, Any]]:
        if self._usage is None:
            return []
        try:
            found = await self._usage.look(per, who, forget=forget)
        except SharedStateUnavailable:
            if forget:
                raise
            # The limits are told all the same.
            quotas = [one for one in self._usage.table.quotas if one.per == per]
            return [_quota_row(one, who, None, 0.0) for one in quotas]
        now = self._clock.time()
        return [_quota_row(one.quota, who, one.left, one.account.ends_at - now) for one in found]

    async def _delayed(self, whom: Mapping[str, str], *, forget: bool) -> list[dict[str, Any]]:
        name, address = whom.get("account", ""), whom.get("address", "")
        delays = await self._login.delays(name, address, forget=forget)
        who = {"account": name, "address": address, "account at address": f"{name} at {address}"}
        return [_delay(per, who[per], delay_s) for per, delay_s in delays.items()]


def _whom(target: str) -> list[tuple[str, str]]:
    pairs = parse_qsl(target.partition("?")[2], keep_blank_values=True)
    if not pairs or not all(_is_somebody(*pair) for pair in pairs):
        raise ValidationFailed("Name whom: ?subject=tenant/name, key, tenant, account or address.")
    return pairs


def _is_somebody(per: str, who: str) -> bool:
    return per in PER and bool(plain_address(who) if per == "address" else who)


def _row(one: Found, who: str) -> dict[str, Any]:
    limit, outcome = one.limit, one.outcome
    # A look asks what one more would get; what would pass is left.
    left = outcome.left + 1 if outcome.passed else 0
    return {
        "limit": limit.name,
        "allowed": limit.allowed,
        "per": limit.per,
        "counted": who,
        "left": left,
        "retry_after_s": 0.0 if outcome.passed else round(outcome.retry_after_s, 3),
    }


def _quota_row(quota: Quota, who: str, left: int | None, renews_s: float) -> dict[str, Any]:
    """``left`` is ``None`` where nobody can say."""
    return {
        "limit": quota.name,
        "allowed": quota.allowed,
        "per": quota.per,
        "counted": who,
        "left": left,
        "retry_after_s": round(renews_s, 3) if left == 0 else 0.0,
    }


def _delay(per: str, who: str, delay_s: float) -> dict[str, Any]:
    """What failed logins cost, as a limit of one attempt."""
    return {
        "limit": f"failed logins/{per}",
        "allowed": "1 attempt at a time",
        "per": per,
        "counted": who,
        "left": 0 if delay_s else 1,
        "retry_after_s": round(delay_s, 3),
    }


def no_desk() -> NotFound:
    return NotFound("This worker is not ready to show limits.")
