"""A provider's two documents on a real socket, for gateways whose clock a test turns.

The real provider, which has only the clock there is, is in ``tests/provider``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.company import company_subject
from tests.company import AUDIENCE, NOW, Issuer

WELL_KNOWN = "/.well-known/openid-configuration"
KEYS = "/keys"
# Those of ``fakes.some_users``.
GROUPS = {
    "alice": ["kb-editors"],
    "bob": ["kb-readers"],
    "carol": ["kb-editors"],
    "root": ["kb-admins"],
}
TENANTS = {"carol": "other"}

_numbers = itertools.count()


@dataclass
class IssuerServer(Issuer):
    """``answers`` are given in place of the usual ones, by path; ``asked`` has every path.

    ``None`` as an answer: none ever comes.
    """

    answers: dict[str, bytes | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """For a gateway that takes its tokens; names without their prefix."""
        return {
            "OIDC_ISSUER": self.name,
            "OIDC_AUDIENCE": AUDIENCE,
            "OIDC_CLIENTS": "kb-cli",
            "OIDC_TENANT_CLAIM": "organization",
            "OIDC_ROLES_CLAIM": "groups",
            "OIDC_ROLES": "kb-readers reader; kb-editors editor; kb-admins admin",
            "PUBLIC_URL": "https://kb.example.com",
        }

    def metadata(self, **changes: Any) -> bytes:
        whole = {"issuer": self.name, "jwks_uri": f"{self.name}{KEYS}", **changes}
        return answer(json.dumps(whole).encode())

    def subject(self, person: str) -> str:
        return company_subject(self.name, person)

    def token_of(self, person: str, now: float = NOW, **changes: Any) -> str:
        """Of somebody who may do what the user of that name may; an hour from ``now``."""
        claims = {"sub": person, "preferred_username": person, "jti": f"at-{next(_numbers)}"}
        times = {"iat": int(now), "nbf": int(now), "exp": int(now) + 3600}
        group = {"groups": GROUPS.get(person, []), "organization": TENANTS.get(person, "acme")}
        return self.token(**{**claims, **times, **group, **changes})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                self.asked.append(path)
                usual = {WELL_KNOWN: self.metadata(), KEYS: answer(self.key_set)}
                given = {**usual, **self.answers}.get(path, answer(b"", "404 Not Found"))
                if given is not None:
                    writer.write(given)
        writer.close()


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextlib.asynccontextmanager
async def issuer_server() -> AsyncIterator[IssuerServer]:
    issuer = IssuerServer()
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    issuer.name = f"http://{host}:{port}"
    try:
        yield issuer
    finally:
        server.close()
