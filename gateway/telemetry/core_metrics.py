"""The metrics of the adaptive limit: how many calls a core is given, and what was refused."""

from __future__ import annotations

from gateway.telemetry.metric import Counter, Gauge, sets_of

CORE_PLACES = Gauge(
    "gateway_core_places",
    "Questions that may wait for their head, as heads have taught, and calls that do.",
    labels=("state",),
    series=sets_of(("limit", "questions", "documents")),
    # Without the limit there is nothing to show.
    sparse=True,
)
CORE_OVERLOADED = Counter(
    "gateway_core_overloaded_total",
    "Calls to the core refused because no address had room for them.",
    labels=("work",),
    series=sets_of(("question", "document")),
    sparse=True,
)
