"""429 and 503: not now, though nothing is wrong with the request."""

from __future__ import annotations

from gateway.errors.base import GatewayError


class RateLimited(GatewayError):
    status = 429
    code = "RATE_LIMITED"
    default_message = "Too many requests: slow down."
    default_retry_after_s = 1


class QuotaExceeded(RateLimited):
    """All tokens of a day or month are spent."""

    code = "QUOTA_EXCEEDED"
    default_message = "All tokens of this period are spent."
    default_retry_after_s = 3600


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
