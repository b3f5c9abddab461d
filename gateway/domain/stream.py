"""How a stream ends, as data: what happened → what each side sees and what the log says.

No socket and no await here. ``stream_state.py`` decides *what happened*, from what the relay hands
it; everything that follows from it is looked up in ``ENDINGS``. A stream that a client can still
hear ends with exactly one of the core's ``done`` and the gateway's ``error`` event.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from gateway.domain import core_json
from gateway.errors import (
    CoreProtocolError,
    CoreTimeout,
    CoreTruncated,
    CoreUnavailable,
    CredentialRevoked,
    Draining,
    EventTooLarge,
    FirstEventTimeout,
    Forbidden,
    GatewayError,
    InternalError,
    NotFound,
    Overloaded,
    PolicyUnavailable,
    StorageUnavailable,
    StreamIdleTimeout,
    StreamMaxDuration,
    TokenExpired,
    ValidationFailed,
)


class CoreReset(CoreTruncated):
    """The core's connection broke. The client gets the same code; the log has a word of its own."""


class StreamOutcome(enum.Enum):
    """What ended a stream."""

    DONE = "done"
    EXCESS_AFTER_DONE = "excess_after_done"
    CORE_ERROR = "core_error"
    CORE_EOF = "core_eof"
    CORE_TRUNCATED = "core_truncated"
    CORE_RESET = "core_reset"
    CORE_FAILED = "core_failed"
    NO_FIRST_EVENT = "first_event_timeout"
    SILENT = "idle_timeout"
    TOO_LONG = "max_duration"
    OVERSIZE = "event_too_large"
    TOKEN_EXPIRED = "token_expired"
    REVOKED = "credential_revoked"
    WITHDRAWN = "permission_withdrawn"
    UNVERIFIED = "permission_unverified"
    DRAINING = "draining"
    STOPPED = "stopped"
    CLIENT_LEFT = "client_left"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Ending:
    """What follows from what happened.

    Attributes:
        error: the class of the terminal ``error`` event; ``None``: none is sent.
        core: whether the core is given a moment to end its body, so that its connection may serve
            another request, or is left at once, which is how it learns that nobody listens. A
            body that had come to its end by then leaves nothing to close, whatever it said.
        by: whose doing it was, for the log and the metric.
        given: the failure itself decides the error (a core's known code, a refused call);
            ``error`` is what stands in when there is none.
    """

    error: type[GatewayError] | None
    core: Literal["reuse", "close"]
    by: Literal["nobody", "core", "client", "gateway"]
    given: bool = False


ENDINGS: Mapping[StreamOutcome, Ending] = {
    StreamOutcome.DONE: Ending(None, "reuse", "nobody"),
    StreamOutcome.EXCESS_AFTER_DONE: Ending(None, "close", "core"),
    StreamOutcome.CORE_ERROR: Ending(CoreProtocolError, "close", "core", given=True),
    StreamOutcome.CORE_EOF: Ending(CoreTruncated, "close", "core"),
    StreamOutcome.CORE_TRUNCATED: Ending(CoreTruncated, "close", "core"),
    StreamOutcome.CORE_RESET: Ending(CoreTruncated, "close", "core"),
    StreamOutcome.CORE_FAILED: Ending(CoreProtocolError, "close", "core", given=True),
    StreamOutcome.NO_FIRST_EVENT: Ending(FirstEventTimeout, "close", "core"),
    StreamOutcome.SILENT: Ending(StreamIdleTimeout, "close", "core"),
    StreamOutcome.TOO_LONG: Ending(StreamMaxDuration, "close", "gateway"),
    StreamOutcome.OVERSIZE: Ending(EventTooLarge, "close", "core"),
    StreamOutcome.TOKEN_EXPIRED: Ending(TokenExpired, "close", "client"),
    StreamOutcome.REVOKED: Ending(CredentialRevoked, "close", "client"),
    StreamOutcome.WITHDRAWN: Ending(Forbidden, "close", "client", given=True),
    StreamOutcome.UNVERIFIED: Ending(PolicyUnavailable, "close", "gateway", given=True),
    StreamOutcome.DRAINING: Ending(Draining, "close", "gateway"),
    StreamOutcome.STOPPED: Ending(InternalError, "close", "gateway", given=True),
    StreamOutcome.CLIENT_LEFT: Ending(None, "close", "client"),
    StreamOutcome.INTERNAL: Ending(InternalError, "close", "gateway"),
}


def terminal_error(
    outcome: StreamOutcome, given: GatewayError | None = None
) -> GatewayError | None:
    """The error of the terminal event, or ``None`` where none is sent.

    One of the very class that the table names is taken as it is: it may say more, for the log.
    """
    ending = ENDINGS[outcome]
    if ending.error is None:
        return None
    if given is not None and (ending.given or type(given) is ending.error):
        return given
    return ending.error()


_STOPPED_BY: tuple[tuple[type[GatewayError], StreamOutcome], ...] = (
    (Draining, StreamOutcome.DRAINING),
    (TokenExpired, StreamOutcome.TOKEN_EXPIRED),
    (CredentialRevoked, StreamOutcome.REVOKED),
    (Forbidden, StreamOutcome.WITHDRAWN),
    (PolicyUnavailable, StreamOutcome.UNVERIFIED),
    (StorageUnavailable, StreamOutcome.UNVERIFIED),
)


def stopped_by(error: GatewayError) -> StreamOutcome:
    """Which row a stop from outside belongs to."""
    for kind, outcome in _STOPPED_BY:
        if isinstance(error, kind):
            return outcome
    return StreamOutcome.STOPPED


def broken_by(error: GatewayError) -> StreamOutcome:
    """Which row a failure of the core's call or transfer belongs to."""
    if isinstance(error, CoreReset):
        return StreamOutcome.CORE_RESET
    return (
        StreamOutcome.CORE_TRUNCATED
        if isinstance(error, CoreTruncated)
        else StreamOutcome.CORE_FAILED
    )


class _CoreErrorBody(msgspec.Struct):
    code: str


class _CoreError(msgspec.Struct):
    error: _CoreErrorBody


_CORE_ERROR = msgspec.json.Decoder(_CoreError)
# What a core may say of itself or of the question in an ``error`` event. Credentials, permission,
# limits and quotas, the request's form, the store and the workflows are the gateway's to judge, and
# so is how a stream was cut: a core that claims one of those codes makes no sense. The same two of
# the question's faults pass as do before the head.
CORE_MAY_SAY: Mapping[str, type[GatewayError]] = {
    error.code: error
    for error in (
        ValidationFailed,
        NotFound,
        Overloaded,
        CoreUnavailable,
        CoreTimeout,
        CoreProtocolError,
    )
}


def core_error_code(data: str | bytes) -> str | None:
    """The code in a core's error shape, or ``None`` when it is not in that shape."""
    try:
        return core_json.decode(_CORE_ERROR, data).error.code
    except CoreProtocolError:
        return None


def replace_core_error(data: str | bytes) -> GatewayError:
    """The gateway's error for a core's ``error`` event: its code if it may say it, our message."""
    code = core_error_code(data)
    return CORE_MAY_SAY.get(code or "", CoreProtocolError)()


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream went, for the log and the metrics.

    ``outcome`` is the log's ``stream_end``, ``code`` the terminal event's or ``None``, ``by`` whose
    doing; ``events`` counts the core's events passed on, ``sent_bytes`` all that was handed to the
    client, ``first_event_s`` the seconds from the call to the core's first event, if one came.
    """

    outcome: str
    code: str | None
    by: str
    events: int
    sent_bytes: int
    first_event_s: float | None
