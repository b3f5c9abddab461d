"""Where clients are told whose sign-in the gateway takes: by a document, and by each refusal.

A client that knows only the gateway's address (an agent, by the Model Context Protocol) asks
without a credential, finds the document's address in the 401, and the provider's in the document.
So it can sign its user in without being set up for it.

Sources: RFC 9728 (2, 3, 5.1); Model Context Protocol, Authorization.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sanic import Request
from sanic.response import BaseHTTPResponse

from gateway.edge.http.endpoint import WELL_KNOWN
from gateway.errors import NotFound

# Of the resources that have a document of their own, because clients ask for it by their path.
MCP: Final = "/mcp"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """Args: ``issuer`` is ``None`` where there is no company sign-in, and so no document."""

    issuer: str | None
    public_url: str | None

    def document(self, path: str = "") -> dict[str, Any]:
        """The metadata of the resource at ``path``; raises ``NotFound`` where there is none."""
        if self.issuer is None:
            raise NotFound
        return {
            "resource": f"{self.public_url}{path}",
            "authorization_servers": [self.issuer],
            "bearer_methods_supported": ["header"],
            "resource_name": "Knowledge Base Gateway",
        }

    def point(self, request: Request, response: BaseHTTPResponse) -> None:
        """Adds the document's address to a refusal's challenge."""
        challenge = response.headers.get("WWW-Authenticate")
        if self.issuer is None or challenge is None:
            return
        path = MCP if request.path == MCP else ""
        address = f'resource_metadata="{self.public_url}{WELL_KNOWN}{path}"'
        response.headers["WWW-Authenticate"] = f"{challenge}, {address}"
