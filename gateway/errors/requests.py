"""400 to 431 and 501: what is wrong with the request, or not for its caller."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors.base import GatewayError


class ValidationFailed(GatewayError):
    """The request could be read, but a field or parameter is missing or wrong.

    ``fields`` maps a field's path (``"scopes[1]"``, ``"?limit"``) to what was expected of it.
    """

    status = 400
    code = "VALIDATION_ERROR"
    default_message = "The request is not valid."

    def __init__(
        self, message: str | None = None, *, fields: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, details={"fields": dict(fields)} if fields else None)


class MalformedRequest(GatewayError):
    """The bytes are not a valid HTTP request; the wire guard refused them."""

    status = 400
    code = "MALFORMED_REQUEST"
    default_message = "The request could not be read."


class Forbidden(GatewayError):
    """The policy denied the request; the logs have the decision under ``details.decision_id``."""

    status = 403
    code = "FORBIDDEN"
    default_message = "You are not allowed to do this."


class NotFound(GatewayError):
    """There is no such thing, or it belongs to another user."""

    status = 404
    code = "NOT_FOUND"
    default_message = "There is nothing here."


class MethodNotAllowed(GatewayError):
    status = 405
    code = "METHOD_NOT_ALLOWED"
    default_message = "This path does not take that method."


class Conflict(GatewayError):
    """The resource exists, but its state does not allow this."""

    status = 409
    code = "CONFLICT"
    default_message = "This cannot be done in the present state."


class Gone(GatewayError):
    """The route was served until its sunset, which is over (RFC 9110, 15.5.11)."""

    status = 410
    code = "GONE"
    default_message = "This is no longer served."


class RequestTimedOut(GatewayError):
    status = 408
    code = "REQUEST_TIMEOUT"
    default_message = "The request took too long to arrive."


class LengthRequired(GatewayError):
    status = 411
    code = "LENGTH_REQUIRED"
    default_message = "A body over HTTP/1.0 needs a Content-Length."


class PayloadTooLarge(GatewayError):
    status = 413
    code = "PAYLOAD_TOO_LARGE"
    default_message = "The request body is too large."


class UriTooLong(GatewayError):
    status = 414
    code = "URI_TOO_LONG"
    default_message = "The request target is too long."


class UnsupportedMediaType(GatewayError):
    status = 415
    code = "UNSUPPORTED_MEDIA_TYPE"
    default_message = "This route does not take that content type."


class ExpectationFailed(GatewayError):
    status = 417
    code = "EXPECTATION_FAILED"
    default_message = "The only expectation understood is 100-continue."


class UpgradeRequired(GatewayError):
    """The route speaks WebSocket only, and this version of it (RFC 9110, 15.5.22)."""

    status = 426
    code = "UPGRADE_REQUIRED"
    default_message = "This route speaks WebSocket, version 13, over HTTP/1.1."

    def __init__(
        self, message: str | None = None, *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, headers={"Upgrade": "websocket", **(headers or {})})


class IdempotencyMismatch(GatewayError):
    status = 422
    code = "IDEMPOTENCY_MISMATCH"
    default_message = "This Idempotency-Key was used for another request."


class HeadersTooLarge(GatewayError):
    status = 431
    code = "HEADERS_TOO_LARGE"
    default_message = "The request headers are too large."


class NotImplementedMethod(GatewayError):
    status = 501
    code = "NOT_IMPLEMENTED"
    default_message = "No route here knows that method."


class UnknownCoding(GatewayError):
    """A body in a transfer coding that is well formed and not known here (RFC 9112, 6.1)."""

    status = 501
    code = "NOT_IMPLEMENTED"
    default_message = "The only transfer coding known here is chunked."
