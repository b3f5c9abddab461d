"""What ends a stream after its head was sent."""

from __future__ import annotations

from gateway.errors.base import GatewayError


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
