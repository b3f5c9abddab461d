"""One line a request, with the verdict. Never a token, a query, a body or a URL's parameters.

A new field of the line stands in ``write``, ``_who`` and its two parts, or ``_verdict``. The same
call counts the request and ends its span, because all three report the same moment.
"""

from __future__ import annotations

from typing import Any

from sanic import Request

from gateway.domain.limit_counts import LimitReached
from gateway.domain.quotas import QuotaSpent
from gateway.edge.observe import log_output, request_metrics, spans
from gateway.edge.scope import Scope, now_s
from gateway.errors import Unauthenticated
from gateway.flows.login import LoginAttempt
from gateway.flows.login_delays import LoginDelayed
from gateway.flows.unknown_keys import UnknownKeysLimited
from gateway.telemetry.tracing import trace_id


def write(request: Request, scope: Scope, status: int, sent_bytes: int) -> None:
    """Called once a request, when its answer is made (or, for a stream, has ended)."""
    ended_s = now_s()
    route = f"/{request.route.path}" if request.route else None
    request_metrics.count_request(request, scope, route, status, ended_s - scope.started_s)
    fields: dict[str, Any] = {
        "request_id": scope.request_id,
        "method": request.method,
        "route": route,
        "status": status,
        "duration_ms": _ms(ended_s - scope.started_s),
        "first_byte_ms": _ms((scope.first_byte_s or ended_s) - scope.started_s),
        "bytes": sent_bytes,
        "ip": scope.client_ip,
        "door": scope.door,
    }
    if scope.going is not None:
        fields["deprecated"] = scope.going
    fields.update(_who(scope))
    fields.update(_verdict(scope))
    log_output.info("gateway.access", "request", fields)
    if scope.span is not None:
        spans.end(scope.span, request, scope, status)
    _forget_frames(scope.error)


def _forget_frames(error: BaseException | None) -> None:
    """Lets go of where an error was raised, once all is said of it.

    Its frames hold the request, whose scope holds the error: circles, in which whole requests
    waited for the garbage collector, hundreds at a time.
    """
    # Chains are a few long; one that ends nowhere would be somebody's mistake.
    for _ in range(16):
        if error is None:
            return
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _ms(seconds: float) -> float:
    """To a hundredth; ``round`` goes through the number's decimal text, for thrice the time."""
    return int(seconds * 100_000 + 0.5) / 100


def _who(scope: Scope) -> dict[str, Any]:
    """``principal`` is who was let in, ``account`` whom a refusal is about."""
    if scope.login is not None:
        return _who_logged_in(scope.login)
    if scope.principal is None:
        return _who_was_refused(scope)
    return {
        "principal": scope.principal.subject,
        "tenant": scope.principal.tenant,
        "auth": scope.principal.auth,
        "credential_id": scope.principal.credential_id,
        **({"owner": scope.owner} if scope.owner else {}),
    }


def _who_logged_in(login: LoginAttempt) -> dict[str, Any]:
    if login.token_id is None:
        return _known(account=login.account, tenant=login.tenant, account_digest=login.typed_digest)
    return {
        "principal": login.account,
        "tenant": login.tenant,
        "auth": login.method,
        "credential_id": login.token_id,
    }


def _who_was_refused(scope: Scope) -> dict[str, Any]:
    error, credential = scope.error, scope.credential
    if credential is None or not isinstance(error, Unauthenticated):
        return {}
    named = error.named
    return _known(account=named.account, auth=credential.kind, credential_id=named.credential_id)


def _known(**fields: str | None) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _verdict(scope: Scope) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if scope.decision is not None:
        fields["action"] = scope.action
        fields["decision"] = "allow" if scope.decision.allow else "deny"
        fields["decision_id"] = scope.decision.decision_id
        fields["decision_reason"] = scope.decision.reason
    if scope.error is not None:
        fields["error"] = scope.error.code
        if isinstance(scope.error, LimitReached):
            fields["limit"] = scope.error.limit.name
        elif isinstance(scope.error, QuotaSpent):
            fields["limit"] = scope.error.quota.name
        elif isinstance(scope.error, LoginDelayed):
            fields["limit"] = f"login/failures/{scope.error.per}"
        elif isinstance(scope.error, UnknownKeysLimited):
            fields["limit"] = "keys/unknown"
    if scope.auth_reason is not None:
        fields["auth_reason"] = scope.auth_reason
    if scope.upstream is not None:
        fields["upstream"] = scope.upstream
    if scope.stream_end is not None:
        fields["stream_end"] = scope.stream_end
    if scope.socket_end is not None:
        code, fields["socket_end"], fields["questions"] = scope.socket_end
        fields["close_code"] = code
    if scope.traceparent is not None:
        fields["trace_id"] = trace_id(scope.traceparent)
    return fields
