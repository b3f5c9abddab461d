"""A request's span: begun when its scope is made, ended with its one log line.

Its attributes are the fields of the log line without the caller's: route, verdict, how it ended,
what was streamed.
"""

from __future__ import annotations

from sanic import Request

from gateway.edge.scope import Scope
from gateway.telemetry.catalogue import METHODS
from gateway.telemetry.tracing import TRACEPARENT, Span, Tracer


def begin(tracer: Tracer | None, request: Request, scope: Scope) -> None:
    """Without a tracer only the caller's ``traceparent`` is kept, for calls that pass it on."""
    if tracer is not None:
        method, route = _method(request), _route(request)
        name = f"{method} {route}" if route else method
        scope.span = tracer.begin(name, "server", scope.traceparent)
        scope.traceparent = scope.span.traceparent
    # Requests of one connection share a task: this also replaces the one before. Where neither the
    # caller nor the gateway traces, nothing is set: each open connection would have to keep it.
    if TRACEPARENT.get() != scope.traceparent:
        TRACEPARENT.set(scope.traceparent)


def end(span: Span, request: Request, scope: Scope, status: int) -> None:
    span.set_attribute("http.request.method", _method(request))
    span.set_attribute("http.response.status_code", status)
    span.set_attribute("gateway.request_id", scope.request_id)
    if route := _route(request):
        span.set_attribute("http.route", route)
    if scope.decision is not None:
        span.set_attribute("gateway.action", scope.action or "")
        span.set_attribute("gateway.decision", "allow" if scope.decision.allow else "deny")
        span.set_attribute("gateway.decision_id", scope.decision.decision_id)
        span.set_attribute("gateway.decision_cached", scope.decision.cached)
    if scope.stream_end is not None:
        _add_stream(span, scope)
    error = scope.error.code if scope.error is not None else None
    if error is not None:
        span.set_attribute("gateway.error", error)
    # A client's mistake does not make the server's span a failed one.
    failed = error is not None and (status >= 500 or status == 200)
    span.end(error if failed else None)


def _add_stream(span: Span, scope: Scope) -> None:
    span.set_attribute("gateway.stream.end", scope.stream_end or "")
    span.set_attribute("gateway.stream.events", scope.events)
    span.set_attribute("gateway.stream.bytes", scope.sent_bytes)
    if scope.first_event_s is not None:
        span.set_attribute("gateway.stream.first_event_ms", round(scope.first_event_s * 1000, 1))


def _method(request: Request) -> str:
    return request.method if request.method in METHODS else "_OTHER"


def _route(request: Request) -> str:
    return f"/{request.route.path}" if request.route else ""
