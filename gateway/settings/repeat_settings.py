"""The settings of requests that are sent again with an ``Idempotency-Key``."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings import parsers as p
from gateway.settings.redis_settings import RedisSettings
from gateway.settings.spec import group

_repeats = group("Requests sent again")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RepeatSettings(RedisSettings):
    """Part of ``Settings``: what is remembered, so that it is not made twice."""

    idempotency_ttl: float = _repeats(
        p.duration("1m", "7d"),
        "24h",
        "How long what was made for an `Idempotency-Key` is remembered: see docs/idempotency.md.",
    )
    idempotency_without_redis: str = _repeats(
        p.choice("refuse", "ignore"),
        "refuse",
        "What becomes of requests with an `Idempotency-Key` while there is no Redis, or it does not"
        " answer: they are refused with 503, or go on as if they had none.",
    )
