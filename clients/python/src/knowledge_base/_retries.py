"""Whether a request that failed is sent again, and when."""

from __future__ import annotations

import random
import ssl
from dataclasses import dataclass

from knowledge_base._requests import Request
from knowledge_base.errors import (
    ApiError,
    Conflict,
    ConnectionBroken,
    Draining,
    KnowledgeBaseError,
    NotConnected,
    Overloaded,
    PolicyUnavailable,
    RateLimited,
    SharedStateUnavailable,
    SignInUnavailable,
    TimedOut,
)

_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 8.0
# Refused at the door: other failures of a server may come between two steps of the work.
_NOT_BEGUN = (
    *(NotConnected, Overloaded, Draining),
    *(PolicyUnavailable, SharedStateUnavailable, SignInUnavailable),
)


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and how long one wait may be.

    Attributes:
        times: how often a request is sent again at most; 0 for never.
        longest_wait_s: where the server asks for a longer one, the error is yours at once.
    """

    times: int = 4
    longest_wait_s: float = 30.0

    def wait_s(self, request: Request, error: KnowledgeBaseError, before: int) -> float | None:
        """Seconds until it is sent again, ``None`` where it is not; ``before`` were sent before.

        What was surely not done may be sent again: no connection came about, or the server
        refused it for the moment (429, 503). Where it may have been done, it has to be harmless:
        it changes nothing, or has a key by which it is known again.
        """
        if before >= self.times or not _may_repeat(request, error):
            return None
        asked = error.retry_after if isinstance(error, ApiError) else None
        if asked is not None and asked > self.longest_wait_s:
            return None
        backoff = min(_FIRST_WAIT_S * 2.0**before, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)
        # Those who were refused together are not to come again together.
        return backoff if asked is None else asked + backoff / 4


def may_be_done(error: KnowledgeBaseError) -> bool:
    """Whether a request that failed so may have been done all the same, or the half of it."""
    if isinstance(error, _NOT_BEGUN):
        return False
    return not isinstance(error, ApiError) or (error.status or 0) >= 500


def _may_repeat(request: Request, error: KnowledgeBaseError) -> bool:
    always = request.repeat == "always"
    match error:
        case NotConnected():
            return not _is_untrusted(error)
        case ConnectionBroken() | TimedOut():
            return always
        case Conflict():
            # The same request with this key is under way.
            return request.is_keyed and error.retry_after is not None
        case RateLimited():
            return True
        case ApiError(status=503):
            return always or error.retry_after is not None
        case ApiError(status=500 | 502 | 504):
            return always
    return False


def _is_untrusted(error: BaseException | None) -> bool:
    """A certificate that is not trusted now will not be in a second: who asks need not wait."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None
