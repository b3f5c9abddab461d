"""Every metric there is. ``docs/metrics.md`` says for users what each is good for.

What stands here first is the same in every process; what depends on the routes stands last, so that
a process that knows no routes (the one that starts the workers) finds its cells at the same place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gateway.domain.stream import ENDINGS, Ending, StreamOutcome
from gateway.errors import by_code
from gateway.telemetry.metric import OTHER, LabelSet, Layout, Metric, sets_of
from gateway.telemetry.sheet import FIRST_CELL

Route = tuple[str, str]

NONE = "none"
METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH", "PUT", OTHER)
# What is asked for where no route is: a path nobody has, a request that could not be read.
UNMATCHED = "unmatched"
STATUSES = (
    *sorted({"200", "201", "202", "204"} | {str(one.status) for one in by_code().values()}),
    OTHER,
)
# Why a credential was refused; a test holds this list and the words in the code together.
AUTH_REASONS = (
    *("ambiguous", "audience", "claim_exp", "claim_iat", "claim_jti", "claim_nbf", "claim_pwv"),
    *("claim_roles", "claim_sub", "claim_tenant", "empty", "expired", "header", "issuer"),
    *("key_expired", "key_malformed", "key_owner_moved", "key_revoked", "key_unknown"),
    *("malformed", "missing", "not_yet_valid", "scheme", "signature", "superseded", "too_long"),
    *("user_disabled", "user_removed"),
    *("password", OTHER),
)
DEPENDENCY_STATES = ("unknown", "ok", "down", "broken")
CLIENT_STALLED = "client_stalled"
POOL_STATES = ("open", "idle", "in_use", "waiting")

# Seconds. A call is over in milliseconds, or it is a stream and takes up to 15 minutes.
CALL_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0),
)
# A model thinks for half a second to half a minute before its first word …
FIRST_EVENT_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 20.0, 30.0)
# … then says 5 to 200 words a second …
GAP_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 5.0, 15.0, 60.0)
# … for as long as an answer takes.
STREAM_BUCKETS_S = (
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    20.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
)
LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

REQUESTS = "gateway_requests_total"
REQUEST_SECONDS = "gateway_request_duration_seconds"
DECISIONS = "gateway_policy_decisions_total"
AUTH_FAILURES = "gateway_auth_failures_total"
INTERNAL_ERRORS = "gateway_internal_errors_total"
STREAMS_OPEN = "gateway_streams_open"
STREAMS_ENDED = "gateway_streams_ended_total"
STREAM_EVENTS = "gateway_stream_events_total"
STREAM_BYTES = "gateway_stream_bytes_total"
FIRST_EVENT_SECONDS = "gateway_stream_first_event_seconds"
GAP_SECONDS = "gateway_stream_event_gap_seconds"
STREAM_SECONDS = "gateway_stream_duration_seconds"
POOL = "gateway_upstream_connections"
POOL_LIMIT = "gateway_upstream_connections_limit"
CORE_ADDRESSES = "gateway_core_addresses"
EJECTIONS = "gateway_core_ejections_total"
RETRIES = "gateway_core_retries_total"
CACHE_LOOKUPS = "gateway_cache_lookups_total"
DEPENDENCY = "gateway_dependency_state"
DEPENDENCY_SECONDS = "gateway_dependency_check_seconds"
CONNECTIONS_OPEN = "gateway_connections_open"
TURNED_AWAY = "gateway_connections_turned_away_total"
LAG = "gateway_event_loop_lag_seconds"
WORKERS = "gateway_workers"
RESTARTS = "gateway_worker_restarts_total"
BUILD = "gateway_build_info"


def layout_for(
    routes: Iterable[Route],
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
    upstream = tuple(_upstream(tuple(dependencies), tuple(pools)))
    metrics = [*_same_everywhere(build, upstream), *_of_routes(sorted(set(routes)))]
    return Layout(metrics, FIRST_CELL)


def _same_everywhere(build: LabelSet, upstream: Iterable[Metric]) -> Iterator[Metric]:
    yield from _streams()
    yield from upstream
    yield from _identity()
    yield from _workers(build)


def _streams() -> Iterator[Metric]:
    yield Metric(STREAMS_OPEN, "gauge", "Answers of the core under way.")
    yield Metric(
        STREAMS_ENDED,
        "counter",
        "Answers of the core that ended: how, with which error code, by whose doing.",
        ("end", "code", "by"),
        tuple(_ends()),
        sparse=True,
    )
    yield Metric(STREAM_EVENTS, "counter", "Events of the core passed on, streams under way too.")
    yield Metric(STREAM_BYTES, "counter", "Bytes of event streams handed to clients.")
    yield Metric(
        FIRST_EVENT_SECONDS,
        "histogram",
        "From the call to the core's first event, for each answer that had one.",
        buckets=FIRST_EVENT_BUCKETS_S,
    )
    yield Metric(
        GAP_SECONDS,
        "histogram",
        "An answer's mean time between two events, booked once at its end.",
        buckets=GAP_BUCKETS_S,
    )
    yield Metric(
        STREAM_SECONDS,
        "histogram",
        "From the call to the core to the end of the answer.",
        buckets=STREAM_BUCKETS_S,
    )


def _upstream(dependencies: Sequence[str], pools: Sequence[str]) -> Iterator[Metric]:
    yield Metric(
        POOL,
        "gauge",
        "Connections open and idle, requests that use one and requests that wait for one.",
        ("pool", "state"),
        sets_of(pools, POOL_STATES),
    )
    yield Metric(
        POOL_LIMIT,
        "gauge",
        "Requests that may use one at once.",
        ("pool",),
        sets_of(pools),
    )
    yield Metric(
        CORE_ADDRESSES,
        "gauge",
        "Addresses of the core: those known, and those left out for a while.",
        ("state",),
        sets_of(("known", "ejected")),
        across="max",
    )
    yield Metric(
        EJECTIONS,
        "counter",
        "Times an address of the core was left out, and what for.",
        ("outcome",),
        sets_of(("failed", "unreachable")),
    )
    yield Metric(
        RETRIES,
        "counter",
        "Calls to the core made once more, or not for want of budget.",
        ("result",),
        sets_of(("made", "over_budget")),
    )
    yield Metric(
        DEPENDENCY,
        "gauge",
        "How many workers see a dependency in a state.",
        ("dependency", "state"),
        sets_of(dependencies, DEPENDENCY_STATES),
    )
    yield Metric(
        DEPENDENCY_SECONDS,
        "gauge",
        "How long the last check took, in the worker where it took longest.",
        ("dependency",),
        sets_of(dependencies),
        across="max",
    )


def _identity() -> Iterator[Metric]:
    yield Metric(
        DECISIONS,
        "counter",
        "Policy decisions on requests.",
        ("decision", "cached"),
        (*sets_of(("allow", "deny"), ("true", "false")), ("error", "false")),
    )
    yield Metric(
        AUTH_FAILURES,
        "counter",
        "Requests refused for their credential, or the lack of one.",
        ("reason",),
        sets_of(AUTH_REASONS),
        sparse=True,
    )
    yield Metric(
        CACHE_LOOKUPS,
        "counter",
        "Look-ups in a worker's caches of verified tokens, API keys and policy decisions.",
        ("cache", "result"),
        sets_of(("token", "key", "policy"), ("hit", "miss")),
    )


def _workers(build: LabelSet) -> Iterator[Metric]:
    yield Metric(
        INTERNAL_ERRORS,
        "counter",
        "Requests and streams that failed by the gateway's own fault.",
    )
    yield Metric(CONNECTIONS_OPEN, "gauge", "Connections of clients.")
    yield Metric(TURNED_AWAY, "counter", "Connections refused because there were too many.")
    yield Metric(
        LAG,
        "histogram",
        "How late the event loop was for a timer that rings twice a second.",
        buckets=LAG_BUCKETS_S,
    )
    yield Metric(
        WORKERS,
        "gauge",
        "Worker processes by state.",
        ("state",),
        sets_of(("starting", "ready", "unready", "draining")),
    )
    yield Metric(
        RESTARTS,
        "counter",
        "Workers that died and were replaced, by what ended them.",
        ("cause",),
        sets_of(("exit", "signal", "hung")),
    )
    yield Metric(
        BUILD, "gauge", "1, with the versions.", ("version", "python"), (build,), across="max"
    )


def _of_routes(routes: Sequence[Route]) -> Iterator[Metric]:
    """Answers to methods a route does not have count under ``unmatched``, as unknown paths do."""
    pairs = [*routes, *((method, UNMATCHED) for method in METHODS)]
    yield Metric(
        REQUESTS,
        "counter",
        "Requests answered.",
        ("method", "route", "status"),
        tuple((method, route, status) for method, route in pairs for status in STATUSES),
        sparse=True,
    )
    yield Metric(
        REQUEST_SECONDS,
        "histogram",
        "From a request's head to its answer's end.",
        ("method", "route"),
        tuple(pairs),
        buckets=CALL_BUCKETS_S,
        sparse=True,
    )


def _ends() -> Iterator[LabelSet]:
    for outcome, ending in ENDINGS.items():
        for code in _codes(ending):
            yield outcome.value, code, ending.by
    yield CLIENT_STALLED, NONE, ENDINGS[StreamOutcome.CLIENT_LEFT].by


def _codes(ending: Ending) -> Sequence[str]:
    if ending.error is None:
        return (NONE,)
    return sorted(by_code()) if ending.given else (ending.error.code,)
