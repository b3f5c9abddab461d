"""Every metric there is, each in one declaration.

To add one, declare it here, or in a file of its subject that ``SUBJECTS`` names, and record it
through the process's ``MetricsRecorder``:

- what happens (a request, the end of a stream) where it happens, ``edge/observe/request_metrics``;
- what is counted elsewhere already, a cache's hits or a pool's connections, is read once a tick, in
  ``samples`` and ``edge/observe/edge_samples``.

``docs/metrics.md`` says for users what each is good for; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.domain.doors import DOORS
from gateway.domain.limit_rules import PER
from gateway.errors import by_code
from gateway.telemetry import (
    core_metrics,
    repeat_metrics,
    shared_state_metrics,
    sign_in_metrics,
    stream_metrics,
    usage_metrics,
    version_metrics,
)
from gateway.telemetry.layout import Layout
from gateway.telemetry.metric import (
    OTHER,
    Counter,
    Gauge,
    Histogram,
    LabelSet,
    Metric,
    ProcessNames,
    sets_of,
)

METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "PUT", OTHER)
# The route of a request that matched none: an unknown path, a method its route does not have, a
# request that could not be read.
UNMATCHED = "unmatched"
STATUSES = (
    *sorted(
        {"101", "200", "201", "202", "204", "304"} | {str(one.status) for one in by_code().values()}
    ),
    OTHER,
)
# Why a credential was refused; a test holds this list and the words in the code together.
AUTH_REASONS = (
    *("algorithm", "ambiguous", "audience"),
    *("claim_exp", "claim_gen", "claim_iat", "claim_jti", "claim_nbf", "claim_pwv", "claim_roles"),
    *("claim_sub", "claim_tenant", "client", "empty", "expired", "header", "issuer"),
    *("key_expired", "key_malformed", "key_owner_moved", "key_revoked", "key_sleeps"),
    *("key_unknown", "malformed", "missing", "not_yet_valid", "scheme", "signature"),
    *("signing_key", "superseded"),
    *("token_revoked", "too_long"),
    *("user_disabled", "user_removed"),
    *("session", "password", "sign_in", OTHER),
)
DEPENDENCY_STATES = ("unknown", "ok", "down", "broken")
POOL_STATES = ("open", "idle", "in_use", "waiting")
WORKER_STATES = ("starting", "ready", "unready", "draining")
SUBJECTS = (
    stream_metrics,
    core_metrics,
    shared_state_metrics,
    usage_metrics,
    repeat_metrics,
    version_metrics,
    sign_in_metrics,
)

# --- the core and other dependencies --------------------------------------------------------------

POOL = Gauge(
    "gateway_upstream_connections",
    "Connections open and idle, requests that use one and requests that wait for one.",
    labels=("pool", "state"),
    series=lambda names: sets_of(names.pools, POOL_STATES),
)
POOL_LIMIT = Gauge(
    "gateway_upstream_connections_limit",
    "Requests that may use one at once.",
    labels=("pool",),
    series=lambda names: sets_of(names.pools),
)
CORE_ADDRESSES = Gauge(
    "gateway_core_addresses",
    "Addresses of the core: those known, and those ejected for a while.",
    labels=("state",),
    series=sets_of(("known", "ejected")),
    across="max",
)
EJECTIONS = Counter(
    "gateway_core_ejections_total",
    "Times an address of the core was ejected, and what for.",
    labels=("outcome",),
    series=sets_of(("failed", "unreachable")),
)
RETRIES = Counter(
    "gateway_core_retries_total",
    "Calls to the core made once more, or not for want of budget.",
    labels=("result",),
    series=sets_of(("made", "over_budget")),
)
DEPENDENCY = Gauge(
    "gateway_dependency_state",
    "How many workers see a dependency in a state.",
    labels=("dependency", "state"),
    series=lambda names: sets_of(names.dependencies, DEPENDENCY_STATES),
)
DEPENDENCY_SECONDS = Gauge(
    "gateway_dependency_check_seconds",
    "How long the last check took, in the worker where it took longest.",
    labels=("dependency",),
    series=lambda names: sets_of(names.dependencies),
    across="max",
)

# --- who may --------------------------------------------------------------------------------------

LIMITED = Counter(
    "gateway_limited_total",
    "Requests refused by a limit: per whom it counts, and whether a rate or open streams.",
    labels=("per", "limit"),
    series=(*sets_of(PER, ("rate",)), *sets_of(("subject", "key", "tenant"), ("open",))),
)
UNLIMITED = Counter(
    "gateway_limits_not_counted_total",
    "Requests let in without their limits, because nothing could count them.",
)
LOGIN_DELAYED = Counter(
    "gateway_login_delayed_total",
    "Logins refused because too many failed before, of the account or at the address.",
    labels=("per",),
    series=sets_of(("account", "address")),
    sparse=True,
)
UNKNOWN_KEYS_LIMITED = Counter(
    "gateway_unknown_keys_limited_total",
    "API keys that nobody has seen, refused without a look-up because there were too many.",
    sparse=True,
)
DECISIONS = Counter(
    "gateway_policy_decisions_total",
    "Policy decisions on requests.",
    labels=("decision", "cached"),
    series=(*sets_of(("allow", "deny"), ("true", "false")), ("error", "false")),
)
AUTH_FAILURES = Counter(
    "gateway_auth_failures_total",
    "Requests refused for their credential, or the lack of one.",
    labels=("reason",),
    series=sets_of(AUTH_REASONS),
    others=(OTHER,),
    sparse=True,
)
CACHE_LOOKUPS = Counter(
    "gateway_cache_lookups_total",
    "Look-ups in a worker's caches: verified tokens, API keys, policy decisions, answers.",
    labels=("cache", "result"),
    series=sets_of(("token", "key", "policy", "answer"), ("hit", "miss")),
    sparse=True,
)

# --- workers --------------------------------------------------------------------------------------

INTERNAL_ERRORS = Counter(
    "gateway_internal_errors_total", "Requests and streams that failed by the gateway's own fault."
)
CONNECTIONS_OPEN = Gauge("gateway_connections_open", "Connections of clients.")
TASKS = Gauge("gateway_tasks", "Tasks on the workers' event loops, at most 10 s old.")
TURNED_AWAY = Counter(
    "gateway_connections_turned_away_total", "Connections refused because there were too many."
)
LOG_LINES_DROPPED = Counter(
    "gateway_log_lines_dropped_total",
    "Log lines that were lost, because the log took nothing for too long.",
)
LAG = Histogram(
    "gateway_event_loop_lag_seconds",
    "How late the event loop was for a timer that rings twice a second.",
    buckets=(*(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),),
)
WORKERS = Gauge(
    "gateway_workers",
    "Worker processes by state.",
    labels=("state",),
    series=sets_of(WORKER_STATES),
)
RESTARTS = Counter(
    "gateway_worker_restarts_total",
    "Workers that died and were replaced, by what ended them.",
    labels=("cause",),
    series=sets_of(("exit", "signal", "hung")),
)
BUILD = Gauge(
    "gateway_build_info",
    "1, with the versions.",
    labels=("version", "python"),
    series=lambda names: (names.build,),
    across="max",
)

# --- requests -------------------------------------------------------------------------------------


def _methods_and_routes(names: ProcessNames) -> list[LabelSet]:
    """A method that a route does not have counts under ``unmatched``, as unknown paths do."""
    return [*sorted(set(names.routes)), *((method, UNMATCHED) for method in METHODS)]


REQUESTS = Counter(
    "gateway_requests_total",
    "Requests answered.",
    labels=("method", "route", "status"),
    series=lambda names: (
        (*pair, status) for pair in _methods_and_routes(names) for status in STATUSES
    ),
    others=(OTHER, UNMATCHED, OTHER),
    sparse=True,
)
DOOR_REQUESTS = Counter(
    "gateway_door_requests_total",
    "Requests answered, and questions on sockets, by the door they came through.",
    labels=("door", "status"),
    series=sets_of(DOORS, STATUSES),
    sparse=True,
)
REQUEST_SECONDS = Histogram(
    "gateway_request_duration_seconds",
    "From a request's head to its answer's end.",
    labels=("method", "route"),
    series=_methods_and_routes,
    others=(OTHER, UNMATCHED),
    # Seconds. A call is over in milliseconds, or it is a stream and takes up to 15 minutes.
    buckets=(
        *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
        *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0),
    ),
    sparse=True,
)


def _declared() -> list[Metric]:
    """Everything above and what the subjects' files declare.

    What is the same in every process comes first and the routes last: so that a process that knows
    no names finds the same cells for all metrics that need none.
    """
    by_file = (globals(), *map(vars, SUBJECTS))
    found = [value for names in by_file for value in names.values() if isinstance(value, Metric)]
    return sorted(found, key=lambda metric: callable(metric.series))


METRICS = tuple(_declared())


def layout_for(
    routes: Iterable[tuple[str, str]],
    build: LabelSet,
    *,
    dependencies: Iterable[str] = (),
    pools: Iterable[str] = (),
) -> Layout:
    """The cells of all metrics.

    Args:
        routes: method and template of each route.
        build: the gateway's version and Python's.
        dependencies: the names of all that readiness watches.
        pools: those of them whose connections are counted.
    """
    return Layout(METRICS, ProcessNames(tuple(routes), build, tuple(dependencies), tuple(pools)))
