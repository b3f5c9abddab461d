"""What an agent is told: results, errors of JSON-RPC, and failures of a tool, all JSON-ready."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway import __version__
from gateway.domain.error_shape import error_body
from gateway.edge.mcp.messages import RpcFault
from gateway.errors import GatewayError

SERVER: Final = {
    "name": "knowledge-base-gateway",
    "title": "Knowledge Base Gateway",
    "version": __version__,
}
_META: Final = {"io.modelcontextprotocol/serverInfo": SERVER}
RequestId = str | int | None


def answer(request_id: RequestId, result: dict[str, Any]) -> dict[str, Any]:
    """A request's good answer. Clients of older revisions skip the two fields that they lack."""
    whole = {"resultType": "complete", **result, "_meta": _META}
    return {"jsonrpc": "2.0", "id": request_id, "result": whole}


def refusal(request_id: RequestId, fault: RpcFault) -> dict[str, Any]:
    error: dict[str, Any] = {"code": fault.code, "message": fault.message}
    if fault.data is not None:
        error["data"] = fault.data
    return {"jsonrpc": "2.0", "id": request_id, "error": error}


def done(request_id: RequestId, value: Any, text: str | None = None) -> dict[str, Any]:
    """What a tool found, for programs and, as a text, for models: the same as JSON by default."""
    structured = msgspec.to_builtins(value)
    if text is None:
        text = msgspec.json.encode(structured).decode()
    return answer(
        request_id,
        {"content": _text(text), "structuredContent": structured, "isError": False},
    )


def failed(request_id: RequestId, error: GatewayError, gateway_id: str) -> dict[str, Any]:
    """A tool's failure: the one error shape as a text, so that a model can act on it.

    It is no structured content, which must be what the tool's schema says.
    """
    body = error_body(error, gateway_id)
    if error.retry_after_s is not None:
        # There is no header here to say it.
        body["error"]["details"]["retry_after_s"] = error.retry_after_s
    return failed_by(request_id, msgspec.json.encode(body).decode())


def failed_by(request_id: RequestId, text: str) -> dict[str, Any]:
    """``failed`` with the error shape's JSON at hand, as an event stream has it."""
    return answer(request_id, {"content": _text(text), "isError": True})


def progress(token: str | int, told: int, text: str) -> dict[str, Any]:
    """A notification: so many characters of the answer were told, the last of them are these."""
    params = {"progressToken": token, "progress": told, "message": text}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def _text(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}]
