"""What somebody used and has left: tokens, quotas, limits, and when his keys were last used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.actions import STREAMED
from gateway.domain.identity import Principal
from gateway.domain.limit_counts import Found
from gateway.domain.limit_table import MalformedObligation
from gateway.domain.quotas import PERIODS, Period, Quota, period_at
from gateway.domain.usage import Account, QuotaState, Spent, account_of
from gateway.flows.limits import Limits
from gateway.flows.usage import Usage
from gateway.ports import Clock


@dataclass(frozen=True, slots=True)
class PeriodUse:
    """What was spent ``per`` whom in a day or a month."""

    per: str
    period: str
    at: Period
    spent: Spent


@dataclass(frozen=True, slots=True)
class KeyReport:
    """``used_at`` is in Unix seconds."""

    key_id: str
    used_at: int
    tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Report:
    """``counted``: whether tokens are; where not, only ``limits`` has something to say."""

    counted: bool
    tokens: list[PeriodUse]
    quotas: list[QuotaState]
    limits: list[Found]
    keys: list[KeyReport]


class UsageReport:
    """The use case; one per worker."""

    def __init__(self, limits: Limits | None, usage: Usage | None, clock: Clock) -> None:
        self._limits = limits
        self._usage = usage
        self._clock = clock

    async def of(self, who: Principal, owner: str | None, obligations: Mapping[str, Any]) -> Report:
        """Of the caller, or of ``owner`` in his tenant.

        What a plan allows is known with a verdict only: of another owner the configured numbers
        are given. Who comes with a key sees that key, and none of its owner's others.

        Raises:
            SharedStateUnavailable
        """
        subject = f"{who.tenant}/{owner or who.subject}"
        key = who.credential_id if who.auth == "api_key" and owner is None else None
        names = {"subject": subject, "tenant": who.tenant, "key": key}
        said = obligations if owner is None else {}
        limits = [] if self._limits is None else await self._limits.left(said, names.get)
        if self._usage is None:
            return Report(False, [], [], limits, [])
        return Report(
            True,
            await self._tokens(self._usage, names),
            await self._usage.states(_quotas(self._usage, said), names.get),
            limits,
            await self._keys(self._usage, subject, key),
        )

    async def _tokens(self, usage: Usage, names: Mapping[str, str | None]) -> list[PeriodUse]:
        """Of a tenant only quotas tell: what his colleagues spend is nobody's business."""
        asked = [
            (per, period, name)
            for per in ("subject", "key")
            for period in PERIODS
            if (name := names[per]) is not None
        ]
        now = self._clock.time()
        spent = await usage.spent([account_of(per, name, at, now) for per, at, name in asked])
        return [
            PeriodUse(per, period, period_at(period, now), one)
            for (per, period, _), one in zip(asked, spent, strict=True)
        ]

    async def _keys(self, usage: Usage, subject: str, only: str | None) -> list[KeyReport]:
        uses = await usage.last_used(subject)
        ids = sorted(one for one in uses if only in (None, one))
        now = self._clock.time()
        accounts: list[Account] = [
            account_of("key", one, period, now) for one in ids for period in PERIODS
        ]
        totals = iter([one.total for one in await usage.spent(accounts)])
        return [KeyReport(one, uses[one], {at: next(totals) for at in PERIODS}) for one in ids]


def _quotas(usage: Usage, obligations: Mapping[str, Any]) -> list[Quota]:
    found: dict[str, Quota] = {}
    for action in sorted(STREAMED):
        try:
            quotas = usage.table.quotas_under(action, obligations)
        except MalformedObligation:
            continue
        found.update({one.name: one for one in quotas})
    return list(found.values())
