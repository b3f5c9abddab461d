"""The headers that every answer has: one list for handlers, refusals at the wire and the caps.

They prevent that a browser guesses a type (``nosniff``), that a cache keeps an answer, that a page
embeds one, runs a script out of one or passes on its address, and a return to plain HTTP. There is
no ``Server`` header to remove: Sanic sends none.

Source: OWASP REST Security Cheat Sheet; RFC 6797 (HSTS); the Fetch standard (CORP). Pages of the
origins that CORS allows are not kept out by ``same-origin``: it is for requests without CORS.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'"


def security_headers(hsts_s: int = 0) -> Mapping[str, str]:
    """For every answer; ``hsts_s`` is how long browsers use HTTPS only, 0 for no such header."""
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
    """The headers as bytes of a head, each with its line end."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1")
