"""What a request and the end of a stream add to the metrics, each once."""

from __future__ import annotations

from sanic import Request

from gateway.domain.limit_counts import LimitReached
from gateway.domain.policy import POLICY_BROKEN, Decision
from gateway.domain.quotas import QuotaSpent
from gateway.domain.stream import StreamEnd
from gateway.edge.context import context_of
from gateway.edge.scope import Scope
from gateway.errors import (
    GatewayError,
    InternalError,
    InvalidCredentials,
    PolicyUnavailable,
    SignInFailed,
)
from gateway.flows.login_delays import LoginDelayed
from gateway.flows.unknown_keys import UnknownKeysLimited
from gateway.telemetry import catalogue as c
from gateway.telemetry import stream_metrics
from gateway.telemetry.metric import NONE, OTHER, LabelSet
from gateway.telemetry.recorder import MetricsRecorder
from gateway.telemetry.usage_metrics import QUOTA_EXCEEDED
from gateway.telemetry.version_metrics import DEPRECATED_REQUESTS

_ALLOWED: dict[bool, LabelSet] = {True: ("allow", "true"), False: ("allow", "false")}
_GROUPED: dict[type, str] = {InvalidCredentials: "password", SignInFailed: "sign_in"}
_STATUSES = {int(text): text for text in c.STATUSES if text != OTHER}


def count_request(
    request: Request, scope: Scope, route: str | None, status: int, duration_s: float
) -> None:
    """Called when the answer is made (or, for a stream, has ended).

    Args:
        route: the template; ``None`` where none matched.
    """
    metrics = context_of(request.app).metrics
    method, route = request.method, route or c.UNMATCHED
    metrics.observe(c.REQUEST_SECONDS, (method, route), duration_s)
    shown = _STATUSES.get(status, OTHER)
    metrics.add(c.REQUESTS, (method, route, shown))
    metrics.add(c.DOOR_REQUESTS, (scope.door, shown))
    if scope.going is not None:
        metrics.add(DEPRECATED_REQUESTS, (scope.going,))
    if scope.decision is not None:
        metrics.add(c.DECISIONS, _decision(scope.decision))
    error = scope.error
    if status == 401:
        # A login's reason is the password, whatever was wrong with it; so with a sign-in.
        reason = _GROUPED.get(type(error)) or scope.auth_reason
        metrics.add(c.AUTH_FAILURES, (reason or OTHER,))
    elif error is not None:
        _count_error(metrics, scope, error)


def count_stream_end(
    metrics: MetricsRecorder, scope: Scope, end: StreamEnd, duration_s: float
) -> None:
    """``scope.stream_end`` is ``end.outcome``, or how the client left before it took the end."""
    outcome = scope.stream_end or end.outcome
    if outcome == end.outcome:
        metrics.add(stream_metrics.STREAMS_ENDED, (scope.door, outcome, end.code or NONE, end.by))
    else:
        metrics.add(stream_metrics.STREAMS_ENDED, (scope.door, outcome, NONE, "client"))
    metrics.observe(stream_metrics.STREAM_SECONDS, (), duration_s)
    first_event_s, events = end.first_event_s, end.events
    if first_event_s is None:
        return
    metrics.observe(stream_metrics.FIRST_EVENT_SECONDS, (), first_event_s)
    if events > 1:
        metrics.observe(stream_metrics.GAP_SECONDS, (), (duration_s - first_event_s) / (events - 1))


def _decision(decision: Decision) -> LabelSet:
    if decision.allow is True:
        return _ALLOWED[decision.cached]
    cached = "true" if decision.cached else "false"
    return "error" if decision.reason == POLICY_BROKEN else "deny", cached


def _count_error(metrics: MetricsRecorder, scope: Scope, error: GatewayError) -> None:
    if isinstance(error, InternalError):
        metrics.add(c.INTERNAL_ERRORS)
    if isinstance(error, LimitReached):
        what = "open" if error.limit.rate is None else "rate"
        metrics.add(c.LIMITED, (error.limit.per, what))
    elif isinstance(error, QuotaSpent):
        metrics.add(QUOTA_EXCEEDED, (error.quota.per,))
    elif isinstance(error, LoginDelayed):
        metrics.add(c.LOGIN_DELAYED, (error.per,))
    elif isinstance(error, UnknownKeysLimited):
        metrics.add(c.UNKNOWN_KEYS_LIMITED)
    asked = scope.action is not None and scope.decision is None
    if asked and isinstance(error, PolicyUnavailable):
        metrics.add(c.DECISIONS, ("error", "false"))
