"""The setting of tokens: whether they are counted where no quota is set."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings import parsers as p
from gateway.settings.limit_settings import LimitSettings
from gateway.settings.spec import group

_usage = group("Tokens")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class UsageSettings(LimitSettings):
    """Part of ``Settings``: what answers cost. Quotas stand in ``limits``."""

    usage_counted: bool = _usage(
        p.BOOLEAN,
        "false",
        "Count the tokens that answers cost also where `GATEWAY_LIMITS` has no quota: to see"
        " them in `GET …/usage`, or because quotas are in the policy. Needs `GATEWAY_REDIS_URL`;"
        " see docs/usage.md.",
    )
