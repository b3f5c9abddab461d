"""Clients that upload and use API keys, each request on a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

DOCUMENT = b"The warehouse in Graz opens at seven. " * 100
NEW_KEY = {"name": "soak", "scopes": ["auth:me", "documents:read"]}
KEY_USES = 3
# How long a revoked key may still be taken for good (docs/identity.md says 5 s), and then some.
REVOKED_S = 15
LIMIT_S = 30.0


class Wrong(Exception):
    """An answer that is not the expected one; the message says which and what it was."""


class Visitors:
    """Users with tokens; ``base_url`` ends with the API's prefix."""

    def __init__(self, base_url: str, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        # TLS is not used, and reading the certificates takes a while; no connection is kept.
        transport = httpx.AsyncHTTPTransport(
            verify=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._http = httpx.AsyncClient(base_url=base_url, transport=transport, timeout=LIMIT_S)

    async def close(self) -> None:
        await self._http.aclose()

    async def upload(self, number: int) -> int:
        """Announced, sent (by form or by PUT), completed, read, deleted. Gives the requests made.

        Raises:
            Wrong, httpx.HTTPError.
        """
        who = self._bearer(number)
        announced = {
            "filename": f"soak-{number}.txt",
            "content_type": "text/plain",
            "size": len(DOCUMENT),
            "upload_method": "PUT" if number % 2 else "POST",
        }
        ticket = await self._ask("POST", "/documents", 201, who, json=announced)
        await self._send(ticket["upload"])
        path = f"/documents/{ticket['document_id']}"
        await self._ask("POST", f"{path}/complete", 202, who)
        await self._ask("GET", path, 200, who)
        await self._ask("DELETE", path, 204, who)
        return 5

    async def _send(self, upload: Mapping[str, Any]) -> None:
        if upload["method"] == "PUT":
            headers = upload.get("headers", {})
            answer = await self._http.put(upload["url"], content=DOCUMENT, headers=headers)
        else:
            files = {"file": ("file", DOCUMENT)}
            answer = await self._http.post(upload["url"], data=upload["fields"], files=files)
        if not answer.is_success:
            raise Wrong(f"upload by {upload['method']}: {answer.status_code}")

    async def use_key(self, number: int) -> int:
        """Made, used, rotated, used, revoked, and refused. Gives the requests made.

        Raises:
            Wrong, httpx.HTTPError.
        """
        who = self._bearer(number)
        made = await self._ask("POST", "/keys", 201, who, json=NEW_KEY)
        path = f"/keys/{made['key_id']}"
        await self._use(made["secret"])
        rotated = await self._ask("POST", f"{path}/rotate", 201, who, json={"overlap": 60})
        await self._use(made["secret"])
        await self._use(rotated["secret"])
        await self._ask("DELETE", path, 204, who)
        return 3 + 3 * KEY_USES + await self._until_refused(rotated["secret"])

    async def _use(self, secret: str) -> None:
        for _ in range(KEY_USES):
            await self._ask("GET", "/auth/me", 200, {"X-API-Key": secret})

    async def _until_refused(self, secret: str) -> int:
        for asked in range(1, REVOKED_S):
            answer = await self._http.get("/auth/me", headers={"X-API-Key": secret})
            if answer.status_code == 401:
                return asked
            await asyncio.sleep(1)
        raise Wrong(f"a revoked key is taken after {REVOKED_S} s: {answer.status_code}")

    async def _ask(
        self, method: str, path: str, status: int, headers: Mapping[str, str], json: Any = None
    ) -> Any:
        answer = await self._http.request(method, path, headers=dict(headers), json=json)
        if answer.status_code != status:
            route = path.partition("/")[2].partition("/")[0]
            raise Wrong(f"{method} {route}: {answer.status_code} {_code(answer)}".rstrip())
        return answer.json() if answer.content else None

    def _bearer(self, number: int) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._tokens[number % len(self._tokens)]}"}


def _code(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""
