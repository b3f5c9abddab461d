"""The metrics of requests with an ``Idempotency-Key``."""

from __future__ import annotations

from gateway.domain.repeats import OUTCOMES
from gateway.telemetry.metric import Counter, sets_of

REPEATS = Counter(
    "gateway_idempotent_requests_total",
    "Requests with an Idempotency-Key, by what became of them.",
    labels=("outcome",),
    series=sets_of(OUTCOMES),
    sparse=True,
)
