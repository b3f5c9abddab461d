"""The metrics of what workers and replicas share: what they count together, and revocations."""

from __future__ import annotations

from gateway.telemetry.metric import Counter, Gauge, sets_of

# Where a worker counts limits: in its replica's memory, as the settings name no Redis; in Redis; in
# memory while Redis is away, and in both for a while after its return.
STATE_MODES = ("memory", "shared", "alone", "rejoining")
# What is in that memory, each in a table of a fixed size.
STATE_TABLES = ("rates", "failures", "leases")

STATE_WORKERS = Gauge(
    "gateway_shared_state_workers",
    "Workers by where they count limits, open streams and failed logins.",
    labels=("mode",),
    series=sets_of(STATE_MODES),
)
STATE_REPLICAS = Gauge(
    "gateway_shared_state_replicas",
    "Replicas that count in the same Redis, when they were last seen.",
    across="max",
)
STATE_LOSSES = Counter(
    "gateway_shared_state_losses_total", "Times a worker lost Redis and went on by itself."
)
STATE_EVICTED = Counter(
    "gateway_shared_state_evicted_total",
    "Counts in the replica's memory that made room for others before they were over.",
    labels=("table",),
    series=sets_of(STATE_TABLES),
    sparse=True,
)
STATE_UNLOCKED = Counter(
    "gateway_shared_state_unlocked_total",
    "Times a worker counted in memory without a lock, as another one stood still with it.",
)

# --- revocations ----------------------------------------------------------------------------------

REVOCATIONS = Gauge(
    "gateway_revocations",
    "Revocations that a worker knows and that still end something.",
    labels=("kind",),
    series=sets_of(("token", "all_tokens", "account")),
    across="max",
)
REVOCATIONS_AGE = Gauge(
    "gateway_revocations_age_seconds",
    "Since the store's revocations were last read by the replica.",
    across="max",
)
REVOCATIONS_CHANNEL = Gauge(
    "gateway_revocations_channel",
    "Workers that hear other replicas' revocations at once, and that should and do not.",
    labels=("state",),
    series=sets_of(("up", "down")),
)
REVOCATIONS_HEARD = Gauge(
    "gateway_revocations_heard_seconds",
    "Since the channel last answered, in the worker where it is longest ago.",
    across="max",
)
REVOCATIONS_UNTOLD = Counter(
    "gateway_revocations_untold_total",
    "Revocations that could not be told to other replicas at once.",
)
