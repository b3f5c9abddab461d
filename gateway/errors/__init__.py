"""Every failure that is reported to a client, as one tree of exceptions.

The class owns the HTTP status, the code and the default public message (contract, section 1).
``edge/http/render.py`` turns an instance into the one error shape; nothing else decides a status.
``message`` and ``details`` are public: they never contain upstream text, stack traces or secrets.
The private cause is the ``__cause__`` (``raise … from exc``), which goes to the log only. Everybody
else imports from here, whatever the file: so that ``by_code`` knows all of them.
"""

from __future__ import annotations

from gateway.errors.base import GatewayError, InternalError
from gateway.errors.capacity import Draining, Overloaded, QuotaExceeded, RateLimited
from gateway.errors.credentials import (
    AmbiguousCredentials,
    CredentialRevoked,
    InvalidCredentials,
    Named,
    SignInFailed,
    TokenExpired,
    Unauthenticated,
)
from gateway.errors.requests import (
    Conflict,
    ExpectationFailed,
    Forbidden,
    Gone,
    HeadersTooLarge,
    IdempotencyMismatch,
    LengthRequired,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    NotImplementedMethod,
    PayloadTooLarge,
    RequestTimedOut,
    UnknownCoding,
    UnsupportedMediaType,
    UpgradeRequired,
    UriTooLong,
    ValidationFailed,
)
from gateway.errors.streams import (
    CoreTruncated,
    EventTooLarge,
    FirstEventTimeout,
    StreamError,
    StreamIdleTimeout,
    StreamMaxDuration,
)
from gateway.errors.upstreams import (
    CoreLacks,
    CoreProtocolError,
    CoreTimeout,
    CoreUnavailable,
    PolicyBroken,
    PolicyUnavailable,
    SharedStateUnavailable,
    SignInUnavailable,
    StorageUnavailable,
    TemporalTimeout,
    TemporalUnavailable,
)

__all__ = [
    "AmbiguousCredentials",
    "Conflict",
    "CoreLacks",
    "CoreProtocolError",
    "CoreTimeout",
    "CoreTruncated",
    "CoreUnavailable",
    "CredentialRevoked",
    "Draining",
    "EventTooLarge",
    "ExpectationFailed",
    "FirstEventTimeout",
    "Forbidden",
    "GatewayError",
    "Gone",
    "HeadersTooLarge",
    "IdempotencyMismatch",
    "InternalError",
    "InvalidCredentials",
    "LengthRequired",
    "MalformedRequest",
    "MethodNotAllowed",
    "Named",
    "NotFound",
    "NotImplementedMethod",
    "Overloaded",
    "PayloadTooLarge",
    "PolicyBroken",
    "PolicyUnavailable",
    "QuotaExceeded",
    "RateLimited",
    "RequestTimedOut",
    "SharedStateUnavailable",
    "SignInFailed",
    "SignInUnavailable",
    "StorageUnavailable",
    "StreamError",
    "StreamIdleTimeout",
    "StreamMaxDuration",
    "TemporalTimeout",
    "TemporalUnavailable",
    "TokenExpired",
    "Unauthenticated",
    "UnknownCoding",
    "UnsupportedMediaType",
    "UpgradeRequired",
    "UriTooLong",
    "ValidationFailed",
    "by_code",
]


def _tree(cls: type[GatewayError]) -> list[type[GatewayError]]:
    return [cls, *(sub for direct in cls.__subclasses__() for sub in _tree(direct))]


def by_code() -> dict[str, type[GatewayError]]:
    """Every public code with its class."""
    found: dict[str, type[GatewayError]] = {}
    for cls in _tree(GatewayError):
        if cls is not StreamError:
            found.setdefault(cls.code, cls)
    return found
