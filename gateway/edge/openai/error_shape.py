"""Errors as OpenAI's clients read them, and ours, in one: ``type`` and ``param`` are added."""

from __future__ import annotations

import re
from typing import Any

from gateway.domain.versions import ROOT
from gateway.errors import by_code

# In whatever version, whether or not there is such a one.
_ASKED_HERE = re.compile(rf"{ROOT}/v[0-9]+/openai/".encode())

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def is_asked_here(raw_target: bytes) -> bool:
    """Whether a request's target is this door's, whether or not there is such a route."""
    return _ASKED_HERE.match(raw_target) is not None


def with_openai_fields(body: dict[str, Any]) -> dict[str, Any]:
    """``{"error": {"code", "message", "details", "type", "param"}}`` out of the one error shape.

    ``param`` is the first field that is wrong, if one is named; the message says what is wrong with
    each, for it is all that most clients show.
    """
    error = body["error"]
    known = by_code().get(error["code"])
    status = 500 if known is None else known.status
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    fields: dict[str, str] = error["details"].get("fields", {})
    faults = "; ".join(f"{name}: {fault}" for name, fault in fields.items())
    message = f"{error['message']} {faults}".rstrip()
    param = next(iter(fields), None)
    return {"error": {**error, "message": message, "type": kind, "param": param}}
