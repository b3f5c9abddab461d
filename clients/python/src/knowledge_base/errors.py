"""What can go wrong. Everything here is a ``KnowledgeBaseError``.

``ApiError`` and those below it are what the knowledge base said, by an HTTP status or as an
answer's last event; there is one class for each code. The others happened on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from knowledge_base.models import Document, UploadState


class KnowledgeBaseError(Exception):
    """Base of all that this package raises for what others did."""


class NotConnected(KnowledgeBaseError):
    """No connection came about, in time or at all: nothing was sent."""


class ConnectionBroken(KnowledgeBaseError):
    """The connection broke before the answer was whole: whether it was done is not known."""


class TimedOut(KnowledgeBaseError):
    """No answer came in time: whether it was done is not known."""


class ProtocolError(KnowledgeBaseError):
    """What answered does not speak as a knowledge base does."""


class AnswerIncomplete(KnowledgeBaseError):
    """The stream stopped without an ending. What was told so far is true, and a part of an answer.

    This is what a client sees of a server that died, or of a connection that was cut.
    """


class FileChanged(KnowledgeBaseError):
    """The file became shorter while it was being sent."""


class StoreRefused(KnowledgeBaseError):
    """The object store did not take the bytes, or did not give them.

    Attributes:
        status: its HTTP status.
        code: its own word for the reason (``EntityTooLarge``, ``AccessDenied``, …), if it said one.
    """

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code
        super().__init__(status, code)

    def __str__(self) -> str:
        return f"The object store refused: {self.status} {self.code}".rstrip()


class UploadInterrupted(KnowledgeBaseError):
    """An upload in parts did not come to its end; its cause is ``__cause__``.

    Attributes:
        state: what to hand to ``upload(path, resume=state)`` to go on where it stopped.
    """

    def __init__(self, state: UploadState) -> None:
        self.state = state
        super().__init__(state)

    def __str__(self) -> str:
        sent = f"{len(self.state.etags)} of {self.state.parts} parts were sent"
        return f"The upload of document {self.state.document_id} was interrupted: {sent}."


class IngestFailed(KnowledgeBaseError):
    """A document was not indexed.

    Attributes:
        document: with its ``status`` (``failed`` or ``expired``) and its ``error``.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        super().__init__(document)

    def __str__(self) -> str:
        why = self.document.error or self.document.status
        return f"Document {self.document.document_id} was not indexed: {why}"


class ApiError(KnowledgeBaseError):
    """What the knowledge base refused or failed in, in its own words.

    Attributes:
        code: for programs; the class is chosen by it.
        message: for people; it may change.
        status: the HTTP status, or ``None`` where it was said in the middle of an answer.
        request_id: what to name when you ask somebody about it.
        retry_after: seconds after which to try again, where it was said.
        details: whatever else was said (``fields``, ``quota``, ``decision_id``, …).
    """

    CODE: ClassVar[str] = ""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.status = status
        self.details: Mapping[str, Any] = dict(details or {})
        self.retry_after = retry_after
        found = self.details.get("request_id")
        self.request_id = found if isinstance(found, str) else None
        super().__init__(code, message)

    def __str__(self) -> str:
        about = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.code}: {self.message}{self._fields()}{about}"

    def _fields(self) -> str:
        fields = self.details.get("fields")
        if not isinstance(fields, Mapping):
            return ""
        return "".join(f" {name}: {expected}." for name, expected in fields.items())


# --- what was asked for ---------------------------------------------------------------------------


class ValidationFailed(ApiError):
    """``details["fields"]`` names each wrong field and what was expected."""

    CODE = "VALIDATION_ERROR"


class MalformedRequest(ApiError):
    CODE = "MALFORMED_REQUEST"


class Unauthenticated(ApiError):
    """No credential, or one that is not valid, or was ended."""

    CODE = "UNAUTHENTICATED"


class InvalidCredentials(Unauthenticated):
    """The user name or the password is wrong."""

    CODE = "INVALID_CREDENTIALS"


class TokenExpired(Unauthenticated):
    CODE = "TOKEN_EXPIRED"


class CredentialRevoked(Unauthenticated):
    """The key, token or account was ended while the answer was under way."""

    CODE = "CREDENTIAL_REVOKED"


class AmbiguousCredentials(Unauthenticated):
    CODE = "AMBIGUOUS_CREDENTIALS"


class Forbidden(ApiError):
    """The policy denied it; ``details["decision_id"]`` finds the reason in the server's log."""

    CODE = "FORBIDDEN"


class NotFound(ApiError):
    """There is no such thing, or it is another user's."""

    CODE = "NOT_FOUND"


class MethodNotAllowed(ApiError):
    CODE = "METHOD_NOT_ALLOWED"


class RequestTimeout(ApiError):
    """The request took too long to arrive."""

    CODE = "REQUEST_TIMEOUT"


class Conflict(ApiError):
    """The state of what it is about does not allow it."""

    CODE = "CONFLICT"


class Gone(ApiError):
    """It was served until its sunset: ``details`` say what takes its place."""

    CODE = "GONE"


class LengthRequired(ApiError):
    CODE = "LENGTH_REQUIRED"


class PayloadTooLarge(ApiError):
    CODE = "PAYLOAD_TOO_LARGE"


class UriTooLong(ApiError):
    CODE = "URI_TOO_LONG"


class UnsupportedMediaType(ApiError):
    CODE = "UNSUPPORTED_MEDIA_TYPE"


class ExpectationFailed(ApiError):
    CODE = "EXPECTATION_FAILED"


class IdempotencyMismatch(ApiError):
    """The ``Idempotency-Key`` was used for another request."""

    CODE = "IDEMPOTENCY_MISMATCH"


class UpgradeRequired(ApiError):
    CODE = "UPGRADE_REQUIRED"


class RateLimited(ApiError):
    """Too many requests, or too many answers under way: see ``retry_after``."""

    CODE = "RATE_LIMITED"


class QuotaExceeded(RateLimited):
    """All tokens of a day or month are spent; ``details["renews_at"]`` tells until when."""

    CODE = "QUOTA_EXCEEDED"


class HeadersTooLarge(ApiError):
    CODE = "HEADERS_TOO_LARGE"


class NotImplementedByServer(ApiError):
    """This knowledge base cannot do it, such as searching without an answer."""

    CODE = "NOT_IMPLEMENTED"


# --- what failed on the other side ----------------------------------------------------------------


class ServerError(ApiError):
    """Base of all that is the server's doing."""


class Internal(ServerError):
    """A fault of the server's own: report it with the request id."""

    CODE = "INTERNAL"


class CoreUnavailable(ServerError):
    CODE = "CORE_UNAVAILABLE"


class CoreProtocolError(ServerError):
    CODE = "CORE_PROTOCOL_ERROR"


class CoreTruncated(ServerError):
    """The answer broke off behind the server that told it."""

    CODE = "CORE_TRUNCATED"


class EventTooLarge(ServerError):
    CODE = "EVENT_TOO_LARGE"


class CoreTimeout(ServerError):
    CODE = "CORE_TIMEOUT"


class FirstEventTimeout(ServerError):
    CODE = "FIRST_EVENT_TIMEOUT"


class StreamIdleTimeout(ServerError):
    CODE = "STREAM_IDLE_TIMEOUT"


class StreamMaxDuration(ServerError):
    """The answer took longer than one may."""

    CODE = "STREAM_MAX_DURATION"


class TemporalTimeout(ServerError):
    CODE = "TEMPORAL_TIMEOUT"


class Unavailable(ServerError):
    """Base of what is away for the moment: try again after ``retry_after`` seconds."""


class TemporalUnavailable(Unavailable):
    CODE = "TEMPORAL_UNAVAILABLE"


class StorageUnavailable(Unavailable):
    CODE = "STORAGE_UNAVAILABLE"


class PolicyUnavailable(Unavailable):
    CODE = "POLICY_UNAVAILABLE"


class Overloaded(Unavailable):
    CODE = "OVERLOADED"


class SharedStateUnavailable(Unavailable):
    CODE = "SHARED_STATE_UNAVAILABLE"


class SignInUnavailable(Unavailable):
    """The company's identity provider, without which nobody can say whose the token is."""

    CODE = "SIGN_IN_UNAVAILABLE"


class Draining(Unavailable):
    """The server that was asked is shutting down."""

    CODE = "DRAINING"


def _below(one: type[ApiError]) -> list[type[ApiError]]:
    return [one, *(found for child in one.__subclasses__() for found in _below(child))]


BY_CODE: Mapping[str, type[ApiError]] = {one.CODE: one for one in _below(ApiError) if one.CODE}


def api_error(
    code: str,
    message: str,
    *,
    status: int | None = None,
    details: Mapping[str, Any] | None = None,
    retry_after: float | None = None,
) -> ApiError:
    """The exception of this code; of one that is not known here, by its status."""
    kind = BY_CODE.get(code)
    if kind is None:
        kind = ServerError if status is not None and status >= 500 else ApiError
    return kind(code, message, status=status, details=details, retry_after=retry_after)
