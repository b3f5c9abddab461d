"""A request's span: begun when its scope is made, ended with its one log line.

What it says is what the log line says, less who asked: route, verdict, how it ended, what streamed.
"""

from __future__ import annotations

from sanic import Request

from gateway.edge.scope import Scope
from gateway.telemetry.catalogue import METHODS
from gateway.telemetry.tracing import TRACEPARENT, Span, Tracer


def begin(tracer: Tracer | None, request: Request, scope: Scope) -> None:
    """Without a tracer only the caller's ``traceparent`` is kept for who passes it on."""
    if tracer is not None:
        method, route = _method(request), _route(request)
        name = f"{method} {route}" if route else method
        scope.span = tracer.begin(name, "server", scope.traceparent)
        scope.traceparent = scope.span.traceparent
    # Requests of one connection share a task: this also forgets the one before. Where nobody traces
    # nothing is set, which each open connection would have to keep.
    if TRACEPARENT.get() != scope.traceparent:
        TRACEPARENT.set(scope.traceparent)


def end(span: Span, request: Request, scope: Scope, status: int) -> None:
    span.say("http.request.method", _method(request))
    span.say("http.response.status_code", status)
    span.say("gateway.request_id", scope.request_id)
    if route := _route(request):
        span.say("http.route", route)
    if scope.decision is not None:
        span.say("gateway.action", scope.action or "")
        span.say("gateway.decision", "allow" if scope.decision.allow else "deny")
        span.say("gateway.decision_id", scope.decision.decision_id)
        span.say("gateway.decision_cached", scope.decision.cached)
    if scope.stream_end is not None:
        _say_stream(span, scope)
    error = scope.error.code if scope.error is not None else None
    if error is not None:
        span.say("gateway.error", error)
    # A client's mistake is no failure of the server's span.
    failed = error is not None and (status >= 500 or status == 200)
    span.end(error if failed else None)


def _say_stream(span: Span, scope: Scope) -> None:
    span.say("gateway.stream.end", scope.stream_end or "")
    span.say("gateway.stream.events", scope.events)
    span.say("gateway.stream.bytes", scope.sent_bytes)
    if scope.first_event_s is not None:
        span.say("gateway.stream.first_event_ms", round(scope.first_event_s * 1000, 1))


def _method(request: Request) -> str:
    return request.method if request.method in METHODS else "_OTHER"


def _route(request: Request) -> str:
    return f"/{request.route.path}" if request.route else ""
