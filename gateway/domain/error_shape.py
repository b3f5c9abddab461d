"""The one error shape (contract, section 1), shared by JSON answers and mid-stream events."""

from __future__ import annotations

from typing import Any

from gateway.errors import GatewayError


def error_body(error: GatewayError, request_id: str) -> dict[str, Any]:
    """``{"error": {"code", "message", "details": {"request_id", …}}}``, JSON-ready.

    The request id is always the gateway's own: a detail of that name never replaces it.
    """
    details = {**error.details, "request_id": request_id}
    return {"error": {"code": error.code, "message": error.message, "details": details}}


def error_headers(error: GatewayError) -> dict[str, str]:
    """The headers this failure brings to an HTTP answer, ``Retry-After`` (seconds) among them."""
    if error.retry_after_s is None:
        return error.headers
    return {**error.headers, "Retry-After": str(error.retry_after_s)}
