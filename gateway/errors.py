"""Every failure that is reported to a client, as one tree of exceptions.

The class owns the HTTP status, the code and the default public message (contract, section 1).
``edge/http/render.py`` turns an instance into the one error shape; nothing else decides a status.
``message`` and ``details`` are public: they never contain upstream text, stack traces or secrets.
The private cause is the ``__cause__`` (``raise … from exc``), which goes to the log only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


class GatewayError(Exception):
    """Base of all failures that a client sees.

    Args:
        message: one sentence for the client; the class's default when not given.
        details: JSON-ready facts that help the client correct the call.
        retry_after_s: whole seconds after which a retry makes sense; sent as ``Retry-After``.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"
    default_message: ClassVar[str] = "Something went wrong inside the gateway."
    default_retry_after_s: ClassVar[int | None] = None

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_s: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.details: dict[str, Any] = dict(details or {})
        self.retry_after_s = (
            retry_after_s if retry_after_s is not None else self.default_retry_after_s
        )
        self.headers: dict[str, str] = dict(headers or {})
        super().__init__(self.message)


class InternalError(GatewayError):
    """A fault of the gateway: reported, and logged with its stack trace, which no client sees."""


# --- 400 ---------------------------------------------------------------------------------------


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


# --- 401 ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """Whom a refused credential names: for the log, never for the client.

    ``account`` only where the signature or the secret was right; ``credential_id`` is a key's id or
    the ``jti`` of a rightly signed token: useless to replay.
    """

    account: str | None = None
    credential_id: str | None = None


_NOBODY = Named()


class Unauthenticated(GatewayError):
    """No credential, or one that is not valid."""

    status = 401
    code = "UNAUTHENTICATED"
    default_message = "A valid bearer token or API key is needed."
    challenge: ClassVar[str] = 'Bearer realm="gateway"'

    def __init__(
        self, message: str | None = None, *, reason: str | None = None, named: Named = _NOBODY
    ) -> None:
        """``reason`` is a short word for the log and the metric, never for the client."""
        super().__init__(message, headers={"WWW-Authenticate": self.challenge})
        self.reason = reason
        self.named = named


class InvalidCredentials(Unauthenticated):
    """Login: the user name or the password is wrong."""

    code = "INVALID_CREDENTIALS"
    default_message = "The username or the password is wrong."


class TokenExpired(Unauthenticated):
    """The token or key has expired."""

    code = "TOKEN_EXPIRED"
    default_message = "The token or API key has expired: log in again, or use another key."
    challenge = 'Bearer realm="gateway", error="invalid_token"'


class CredentialRevoked(Unauthenticated):
    """What a running answer was asked with has been ended before its time.

    A key was revoked or a secret of it withdrawn, a user removed, disabled or moved, a password
    changed. A new request with the same credential is plainly ``UNAUTHENTICATED``.
    """

    code = "CREDENTIAL_REVOKED"
    default_message = "The key, token or account that this was asked with has been ended."
    challenge = 'Bearer realm="gateway", error="invalid_token"'


class AmbiguousCredentials(Unauthenticated):
    """Two credentials at once: the gateway does not guess which one was meant."""

    code = "AMBIGUOUS_CREDENTIALS"
    default_message = "Send one credential: a bearer token or an API key, once."
    challenge = 'Bearer realm="gateway", error="invalid_request"'


# --- other 4xx ---------------------------------------------------------------------------------


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


class HeadersTooLarge(GatewayError):
    status = 431
    code = "HEADERS_TOO_LARGE"
    default_message = "The request headers are too large."


class RateLimited(GatewayError):
    status = 429
    code = "RATE_LIMITED"
    default_message = "Too many requests: slow down."
    default_retry_after_s = 1


# --- 5xx ---------------------------------------------------------------------------------------


class NotImplementedMethod(GatewayError):
    status = 501
    code = "NOT_IMPLEMENTED"
    default_message = "No route here knows that method."


class UnknownCoding(GatewayError):
    """A body in a transfer coding that is well formed and not known here (RFC 9112, 6.1)."""

    status = 501
    code = "NOT_IMPLEMENTED"
    default_message = "The only transfer coding known here is chunked."


class CoreLacks(GatewayError):
    """The core behind this gateway does not have what is asked of it; another one may."""

    status = 501
    code = "NOT_IMPLEMENTED"
    default_message = "The core of this knowledge base cannot do that."


class CoreUnavailable(GatewayError):
    """The core could not be reached, or it refused or reset the connection before it answered."""

    status = 502
    code = "CORE_UNAVAILABLE"
    default_message = "The knowledge base core cannot be reached."


class CoreProtocolError(GatewayError):
    """The core's answer does not follow the contract."""

    status = 502
    code = "CORE_PROTOCOL_ERROR"
    default_message = "The knowledge base core gave an answer that makes no sense."


class CoreTimeout(GatewayError):
    status = 504
    code = "CORE_TIMEOUT"
    default_message = "The knowledge base core took too long to answer."


class TemporalUnavailable(GatewayError):
    status = 503
    code = "TEMPORAL_UNAVAILABLE"
    default_message = "The workflow service cannot be reached."
    default_retry_after_s = 2


class TemporalTimeout(GatewayError):
    status = 504
    code = "TEMPORAL_TIMEOUT"
    default_message = "The workflow service took too long to answer."


class StorageUnavailable(GatewayError):
    status = 503
    code = "STORAGE_UNAVAILABLE"
    default_message = "The object storage cannot be reached."
    default_retry_after_s = 2


class PolicyUnavailable(GatewayError):
    """The policy gave no answer. Without one a request is never allowed."""

    status = 503
    code = "POLICY_UNAVAILABLE"
    default_message = "Whether this is allowed cannot be found out at the moment."
    default_retry_after_s = 2


class PolicyBroken(PolicyUnavailable):
    """The policy was loaded but cannot answer: the gateway is not ready until it is repaired."""


class SharedStateUnavailable(GatewayError):
    """What the workers count together (Redis) gives no answer, and this cannot be done without."""

    status = 503
    code = "SHARED_STATE_UNAVAILABLE"
    default_message = "What all replicas share cannot be reached: try again in a moment."
    default_retry_after_s = 1


class Overloaded(GatewayError):
    status = 503
    code = "OVERLOADED"
    default_message = "The gateway is busy: try again in a moment."
    default_retry_after_s = 1


class Draining(GatewayError):
    status = 503
    code = "DRAINING"
    default_message = "This gateway is shutting down: try again."
    default_retry_after_s = 1


# --- inside a stream, after its head was sent -----------------------------------------------------


class StreamError(GatewayError):
    """A failure after the HTTP status was sent: reported in the final ``error`` event.

    With ``"stream": false`` nothing was sent yet, so that answer gets ``status``.
    """

    status = 502


class CoreTruncated(StreamError):
    code = "CORE_TRUNCATED"
    default_message = "The answer broke off before its end."


class FirstEventTimeout(StreamError):
    status = 504
    code = "FIRST_EVENT_TIMEOUT"
    default_message = "The knowledge base core sent nothing in time."


class StreamIdleTimeout(StreamError):
    status = 504
    code = "STREAM_IDLE_TIMEOUT"
    default_message = "The knowledge base core fell silent."


class StreamMaxDuration(StreamError):
    status = 504
    code = "STREAM_MAX_DURATION"
    default_message = "The answer took longer than a stream may last."


class EventTooLarge(StreamError):
    code = "EVENT_TOO_LARGE"
    default_message = "The knowledge base core sent an event larger than the limit."


def _tree(cls: type[GatewayError]) -> list[type[GatewayError]]:
    return [cls, *(sub for direct in cls.__subclasses__() for sub in _tree(direct))]


def by_code() -> dict[str, type[GatewayError]]:
    """Every public code with its class."""
    found: dict[str, type[GatewayError]] = {}
    for cls in _tree(GatewayError):
        if cls is not StreamError:
            found.setdefault(cls.code, cls)
    return found
