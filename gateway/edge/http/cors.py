"""Cross-origin requests (the Fetch standard's CORS protocol): off unless origins are listed."""

from __future__ import annotations

from dataclasses import dataclass

from sanic import Request
from sanic.response import BaseHTTPResponse, HTTPResponse, empty

from gateway.edge.wire.request import is_preflight

ALLOWED_METHODS = "GET, POST, DELETE"
# What the API reads, and then what tools in a page add to each request by themselves: tracing
# (W3C Trace Context and Baggage, Sentry, Datadog), clients of event streams, and old frameworks. A
# browser sends nothing at all if the preflight allows one header too few.
ALLOWED_HEADERS = (
    *("authorization", "content-type", "x-api-key", "x-request-id", "idempotency-key"),
    "if-none-match",
    *("traceparent", "tracestate", "baggage", "sentry-trace"),
    *("x-datadog-origin", "x-datadog-parent-id", "x-datadog-sampling-priority"),
    *("x-datadog-tags", "x-datadog-trace-id", "last-event-id", "x-requested-with"),
    # What agents in a page repeat of their messages.
    *("mcp-protocol-version", "mcp-method", "mcp-name"),
)
# What a page may read of an answer, beside what the Fetch standard lets it read anyway.
EXPOSED_HEADERS = (
    *("Cache-Status", "Deprecation", "ETag", "Link", "RateLimit", "RateLimit-Policy"),
    *("Retry-After", "Sunset", "WWW-Authenticate", "X-Request-ID"),
)
_EXPOSED = ", ".join(EXPOSED_HEADERS)
MAX_AGE_S = 600


@dataclass(frozen=True, slots=True)
class Cors:
    """``origins`` is the allow-list; ``*`` stands for all and excludes ``credentials``.

    ``headers`` may be sent beside ``ALLOWED_HEADERS``; in lower case.
    """

    origins: frozenset[str] = frozenset()
    credentials: bool = False
    headers: tuple[str, ...] = ()

    def preflight(self, request: Request) -> HTTPResponse | None:
        """The answer to a true preflight; ``None`` for every other request."""
        if not (self.origins and is_preflight(request)):
            return None
        response = empty(204)
        if self._allowed(request) is not None:
            response.headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
            response.headers["Access-Control-Allow-Headers"] = self._allowed_headers()
            response.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
        response.headers["Vary"] = "Access-Control-Request-Method, Access-Control-Request-Headers"
        return response

    def admits(self, request: Request) -> bool:
        """Whether a socket may be opened from there: by a listed page, or by no page at all.

        A browser lets every page open one, and says only here which page it is.
        """
        return "origin" not in request.headers or self._allowed(request) is not None

    def decorate(self, request: Request, response: BaseHTTPResponse) -> None:
        """Lets the browser know whether the page may read this answer; caches vary by origin."""
        if not self.origins:
            return
        if "*" not in self.origins:
            add_vary(response, "Origin")
        allowed = self._allowed(request)
        if allowed is None:
            return
        response.headers["Access-Control-Allow-Origin"] = allowed
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        if self.credentials:
            response.headers["Access-Control-Allow-Credentials"] = "true"

    def _allowed_headers(self) -> str:
        return ", ".join(dict.fromkeys((*ALLOWED_HEADERS, *self.headers)))

    def _allowed(self, request: Request) -> str | None:
        origins = request.headers.getall("origin", [])
        if len(origins) != 1:
            return None
        if "*" in self.origins:
            return "*"
        return origins[0] if origins[0] in self.origins else None


def add_vary(response: BaseHTTPResponse, name: str) -> None:
    """Adds ``name`` to ``Vary`` and keeps the names that are in it."""
    present = response.headers.get("Vary", "")
    if name.lower() not in {item.strip().lower() for item in present.split(",")}:
        response.headers["Vary"] = f"{present}, {name}" if present else name
