"""What the OpenAPI document says of credentials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.own_pages import CSRF_HEADER
from gateway.edge.http.session_cookies import SessionCookies


def security_schemes(provided: Mapping[type, Any]) -> dict[str, Any]:
    """How to say who one is; a cookie only where browsers sign in."""
    schemes: dict[str, Any] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT or API key"},
        "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    cookies = provided.get(SessionCookies)
    if isinstance(cookies, SessionCookies):
        schemes["session"] = {
            "type": "apiKey",
            "in": "cookie",
            "name": cookies.names.session,
            "description": (
                "Of a browser that signed in. What is no GET or HEAD has to come from a page of"
                f" the gateway's own origin (`Origin`), with `{CSRF_HEADER}: 1`."
            ),
        }
    return schemes
