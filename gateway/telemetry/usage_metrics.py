"""The metrics of tokens; ``catalogue`` takes them up."""

from __future__ import annotations

from gateway.domain.quotas import SPENDERS
from gateway.telemetry.metric import Counter, Gauge, sets_of

TOKEN_KINDS = ("prompt", "completion", "estimated")
TOKENS = Counter(
    "gateway_tokens_total",
    "Tokens that answers cost, by kind; estimated ones of answers that told no usage.",
    labels=("kind",),
    series=sets_of(TOKEN_KINDS),
    sparse=True,
)
QUOTA_EXCEEDED = Counter(
    "gateway_quota_exceeded_total",
    "Questions refused because all tokens of a day or month were spent, per whom they count.",
    labels=("per",),
    series=sets_of(SPENDERS),
    sparse=True,
)
QUOTAS_UNCHECKED = Counter(
    "gateway_quotas_not_checked_total",
    "Questions let in because nobody could say what was spent.",
    sparse=True,
)
USAGE_WAITING = Gauge(
    "gateway_usage_waiting",
    "Days and months of somebody whose charges wait for Redis.",
    sparse=True,
)
USAGE_LOST = Counter(
    "gateway_usage_lost_tokens_total",
    "Tokens that were charged and could not be kept.",
    sparse=True,
)
