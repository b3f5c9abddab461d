"""The setting of the limits: how many requests, and how many open streams, for whom."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.limit_rules import Limit, LimitFaults, parse_limits
from gateway.domain.quotas import Quota
from gateway.settings import parsers as p
from gateway.settings.repeat_settings import RepeatSettings
from gateway.settings.spec import group

_rates = group("Rates and open streams")


def _parse(text: str) -> tuple[Limit | Quota, ...]:
    try:
        return parse_limits(text)
    except LimitFaults as problem:
        raise p.SeveralFaults([(one.found, one.expected) for one in problem.faults]) from problem


LIMITS = p.Parser(
    "limits such as: query:run 60/m burst 10 per subject, 8 open per subject; *:* 1200/m per"
    " tenant; login 5/m per account, 30/m per address",
    _parse,
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class LimitSettings(RepeatSettings):
    """Part of ``Settings``: how much is allowed."""

    limits: tuple[Limit | Quota, ...] = _rates(
        LIMITS,
        "",
        "How many requests, open streams and tokens are allowed, for whom: see docs/limits.md."
        " Empty: as many as there are. In a TOML file also a table:"
        ' `[limits]`, `"query:run" = "60/m per subject"`.',
        table=True,
        example="'query:run 60/m burst 10 per subject, 8 open per subject; *:* 1200/m per tenant'",
    )
