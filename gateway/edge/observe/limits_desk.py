"""``/limits`` of the admin listener: what is counted for somebody, and forgetting it.

``GET /limits?subject=acme/ada`` shows, ``DELETE`` forgets. ``gateway limits`` asks; see
``domain/operator_requests.py`` for who may.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

from gateway.domain.forwarded import plain_address
from gateway.domain.limit_counts import Found
from gateway.domain.limit_rules import PER
from gateway.domain.operator_requests import is_signed
from gateway.errors import Forbidden, MethodNotAllowed, NotFound, ValidationFailed
from gateway.flows.limits import Limits
from gateway.flows.login import Login
from gateway.ports import Clock

PATH = "/limits"


class LimitsDesk:
    """Made only where limits are set."""

    def __init__(self, limits: Limits, login: Login, clock: Clock) -> None:
        """``login`` knows the secrets, and what a typed name counts under."""
        self._limits = limits
        self._login = login
        self._clock = clock

    async def answer(self, method: str, target: str, authorization: str) -> dict[str, Any]:
        """What is counted now; of a ``DELETE``, what was before it.

        Raises:
            MethodNotAllowed, Forbidden, ValidationFailed, NotFound
        """
        if method not in ("GET", "DELETE"):
            raise MethodNotAllowed(headers={"Allow": "GET, DELETE"})
        secrets, now = self._login.tokens.secrets, self._clock.time()
        if not is_signed(secrets, method, target, authorization, now):
            raise Forbidden("Only an operator's signed request may; `gateway limits` makes one.")
        rows: list[dict[str, Any]] = []
        for per, who in _whom(target):
            counted = self._login.digest(who) if per == "account" else who
            found = await self._limits.look(per, counted, forget=method == "DELETE")
            rows += [_row(one, who) for one in found]
        return {"limits": rows}


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


def no_desk() -> NotFound:
    return NotFound("No limits are set.")
