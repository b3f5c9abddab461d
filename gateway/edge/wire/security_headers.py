"""The headers that every answer has, whoever gives it: one list for handlers, refusals and caps.

What they are against: a browser that guesses a type (``nosniff``), a cache that keeps an answer,
a page that embeds one, runs something out of one or tells others its address, and a way back to
plain HTTP. There is no ``Server`` header to take away: Sanic sends none.

Source: OWASP REST Security Cheat Sheet; RFC 6797 (HSTS); the Fetch standard (CORP). Pages of the
origins that CORS allows are not kept out by ``same-origin``: it is for requests without CORS.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'"


def security_headers(hsts_s: int = 0) -> Mapping[str, str]:
    """For every answer; ``hsts_s`` is how long browsers come by HTTPS only, 0 to say nothing."""
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
    }
    if hsts_s:
        headers["Strict-Transport-Security"] = f"max-age={hsts_s}"
    return headers


def header_lines(headers: Mapping[str, str]) -> bytes:
    """As they stand in a head, each with its line end."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")
