"""What all errors are, and the one that is the gateway's own fault."""

from __future__ import annotations

from collections.abc import Mapping
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
