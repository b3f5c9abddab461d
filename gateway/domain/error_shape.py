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
