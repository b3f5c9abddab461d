"""Answers written as bytes in one go, where Sanic has no request to answer.

A connection beyond the caps is turned away before anything was read, and the admin listener is no
Sanic application. Their answers have the headers and the error shape of all others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus

from gateway.domain.error_shape import error_body, error_headers
from gateway.domain.ids import new_uuid7
from gateway.edge.wire.json_writer import dump_json
from gateway.errors import GatewayError


def whole_answer(
    status: int,
    payload: bytes,
    content_type: str,
    *,
    security_lines: bytes,
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Head and body; the connection ends with it. Without ``request_id`` it gets a fresh one."""
    fields = {
        "Content-Type": content_type,
        "Content-Length": str(len(payload)),
        "X-Request-ID": request_id or fresh_request_id(),
        **(headers or {}),
        "Connection": "close",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}"
    return head.encode("latin-1") + security_lines + b"\r\n" + payload


def without_body(answer: bytes) -> bytes:
    """The same answer as a HEAD gets it: ``Content-Length`` stays the body's (RFC 9110, 8.6)."""
    return answer[: answer.index(b"\r\n\r\n") + 4]


def whole_error(error: GatewayError, *, security_lines: bytes) -> bytes:
    """A refusal in the one error shape, with an id of its own."""
    request_id = fresh_request_id()
    return whole_answer(
        error.status,
        dump_json(error_body(error, request_id)),
        "application/json",
        security_lines=security_lines,
        request_id=request_id,
        headers=error_headers(error),
    )


def fresh_request_id() -> str:
    return new_uuid7(time.time())
