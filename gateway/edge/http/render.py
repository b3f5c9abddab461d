"""Renders every failure before the first byte, in the one error shape.

Sanic's own exceptions are translated first, so that an unknown path, a bad method or a body that
is too large looks like any other refusal. A fault of our own is logged with its trace and reported;
the client gets the request id and no reason.
"""

from __future__ import annotations

from typing import Any

import structlog
from sanic import Request
from sanic import exceptions as sanic_errors
from sanic.handlers import ErrorHandler
from sanic.response import HTTPResponse

from gateway import errors
from gateway.domain.error_shape import error_body, error_headers
from gateway.edge.http.routes import methods_of
from gateway.edge.observe.sentry import report
from gateway.edge.openai.error_shape import is_asked_here, with_openai_fields
from gateway.edge.wire.json_writer import dump_json
from gateway.edge.wire.response import Response
from gateway.errors import GatewayError

log = structlog.get_logger("gateway.errors")

# Sanic's classes with ours, the more specific first where they inherit.
_TRANSLATED: dict[type[BaseException], type[GatewayError]] = {
    sanic_errors.PayloadTooLarge: errors.PayloadTooLarge,
    sanic_errors.ExpectationFailed: errors.ExpectationFailed,
    sanic_errors.RequestTimeout: errors.RequestTimedOut,
    sanic_errors.RequestCancelled: errors.RequestTimedOut,
    sanic_errors.ServiceUnavailable: errors.Overloaded,
    sanic_errors.BadRequest: errors.MalformedRequest,
}


def json_response(value: Any, status: int = 200) -> HTTPResponse:
    return Response(dump_json(value), status=status, content_type="application/json")


class ErrorRenderer(ErrorHandler):
    """Replaces Sanic's error handler as a whole: no HTML, no debug page, none of its texts."""

    def response(self, request: Request, exception: Exception) -> HTTPResponse:
        error = noted(request, exception)
        scope = getattr(request.ctx, "scope", None)
        request_id = scope.request_id if scope else ""
        return _rendered(error, error_body(error, request_id), request)


def noted(request: Request, exception: Exception) -> GatewayError:
    """``exception`` as one of ours, once the log knows what has to be known of it."""
    error = translate(request, exception)
    scope = getattr(request.ctx, "scope", None)
    request_id = scope.request_id if scope else ""
    if scope is not None:
        # Who left is told nothing, and no fault of anybody's.
        left = isinstance(exception, sanic_errors.RequestCancelled)
        scope.error = None if left else error
        scope.auth_reason = getattr(error, "reason", None)
    if error.status == 500:
        log.error("internal error", request_id=request_id, exc_info=exception)
        report(exception, request_id)
    elif error.status > 500 and error.__cause__ is not None:
        log.warning(
            "dependency failed",
            request_id=request_id,
            code=error.code,
            cause=f"{type(error.__cause__).__name__}: {error.__cause__}",
        )
    return error


def _rendered(error: GatewayError, body: dict[str, Any], request: Request) -> HTTPResponse:
    if is_asked_here(request.raw_url):
        body = with_openai_fields(body)
    response = json_response(body, error.status)
    for name, value in error_headers(error).items():
        response.headers[name] = value
    return response


def translate(request: Request, exception: Exception) -> GatewayError:
    """Any exception as one of ours; one that is none of the known ones is ``InternalError``."""
    if isinstance(exception, GatewayError):
        return exception
    if isinstance(exception, (sanic_errors.NotFound, sanic_errors.MethodNotAllowed)):
        return _no_route(request, exception)
    if isinstance(exception, sanic_errors.PayloadTooLarge) and request.method == "NONE":
        return errors.HeadersTooLarge()
    for theirs, ours in _TRANSLATED.items():
        if isinstance(exception, theirs):
            return ours()
    return errors.InternalError()


def _no_route(request: Request, exception: Exception) -> GatewayError:
    """501 for a method that no route has (RFC 9110, 15.6.2); else 404, or 405 with the path's."""
    router, known = request.app.router, methods_of(request.app)
    if request.method not in known:
        return errors.NotImplementedMethod()
    if isinstance(exception, sanic_errors.NotFound):
        return errors.NotFound()
    # Sanic names the allowed methods of paths without parameters only, so the router is tried.
    taken = sorted(method for method in known if _takes(router, request.path, method))
    return errors.MethodNotAllowed(headers={"Allow": ", ".join(taken)})


def _takes(router: Any, path: str, method: str) -> bool:
    try:
        router.get(path, method, None)
    except (sanic_errors.NotFound, sanic_errors.MethodNotAllowed):
        return False
    return True
