"""What the edge writes down of each request for the metrics."""

from __future__ import annotations

from sanic import Request

from gateway.domain.policy import POLICY_BROKEN
from gateway.edge.context import context_of
from gateway.edge.scope import Scope
from gateway.errors import InternalError, InvalidCredentials, PolicyUnavailable


def count(
    request: Request, scope: Scope, route: str | None, status: int, duration_s: float
) -> None:
    """Once a request, when its answer is made (or, for a stream, has ended)."""
    metrics = context_of(request.app).metrics
    metrics.request(request.method, route or "", status, duration_s)
    decision = scope.decision
    if decision is not None:
        metrics.decision(_word(decision.allow, decision.reason), decision.cached)
    elif scope.action is not None and isinstance(scope.error, PolicyUnavailable):
        metrics.decision("error", False)
    if isinstance(scope.error, InternalError):
        metrics.internal_error()
    if status == 401:
        wrong_password = isinstance(scope.error, InvalidCredentials)
        metrics.auth_failure("password" if wrong_password else scope.auth_reason)


def _word(allow: bool, reason: str) -> str:
    if allow is True:
        return "allow"
    return "error" if reason == POLICY_BROKEN else "deny"
