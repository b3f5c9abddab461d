"""The core's errors, in the platform's one shape; the class owns status and code."""

from __future__ import annotations

from typing import Any, ClassVar


class CoreError(Exception):
    """A failure reported to the caller; ``details`` may name fields, never content or secrets."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL"
    message: ClassVar[str] = "The core failed to answer."

    def __init__(self, message: str | None = None, **details: Any) -> None:
        super().__init__(message or self.message)
        self.details = details

    def body(self, request_id: str | None) -> dict[str, Any]:
        """``{"error": {"code", "message", "details"}}``."""
        details = {"request_id": request_id, **self.details} if request_id else self.details
        return {"error": {"code": self.code, "message": str(self), "details": details}}


class InvalidRequest(CoreError):
    status, code, message = 400, "VALIDATION_ERROR", "The request is not valid."


class Unauthenticated(CoreError):
    status, code, message = 401, "UNAUTHENTICATED", "A valid core token is required."


class NotFound(CoreError):
    status, code, message = 404, "NOT_FOUND", "There is nothing here by that name."


class MethodNotAllowed(CoreError):
    status, code, message = 405, "METHOD_NOT_ALLOWED", "This method is not allowed here."


class PayloadTooLarge(CoreError):
    status, code, message = 413, "PAYLOAD_TOO_LARGE", "The request body is too large."


class ModelUnavailable(CoreError):
    status, code, message = 502, "CORE_UNAVAILABLE", "The language model could not be reached."


class ModelNonsense(CoreError):
    status, code, message = 502, "CORE_PROTOCOL_ERROR", "The language model broke off its answer."


class ModelTimeout(CoreError):
    status, code, message = 504, "CORE_TIMEOUT", "The language model took too long."
