"""Users of a running gateway, as a script of theirs would be: log in, upload, wait, ask."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import httpx

PASSWORD = "a password of the system tests"
# How long a document may take to be indexed before a test gives up. Not a speed that is asserted.
INDEX_LIMIT_S = 120


@dataclass
class Streamed:
    """A stream that was read to its end."""

    status: int
    events: list[tuple[str, Any]] = field(default_factory=list)
    raw: bytes = b""

    @property
    def text(self) -> str:
        return "".join(data["text"] for name, data in self.events if name == "token")

    def named(self, name: str) -> list[Any]:
        return [data for found, data in self.events if found == name]


class Person:
    """One user with a credential and a connection of his own."""

    def __init__(self, base_url: str, name: str, tenant: str) -> None:
        self.name = name
        self.tenant = tenant
        self.http = httpx.AsyncClient(base_url=base_url, timeout=30, trust_env=False)
        self.asked_again: list[str] = []

    async def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        """A call that may be repeated, repeated while the gateway asks for that.

        On a machine with more to do than it can, 503 and 504 with a code of the contract are the
        right answer and trying again is a client's part; each is noted in ``asked_again``.
        """
        for _ in range(20):
            answer = await self.http.request(method, path, **body)
            if answer.status_code not in {503, 504}:
                break
            self.asked_again.append(answer.json()["error"]["code"])
            await asyncio.sleep(int(answer.headers.get("Retry-After", "1")))
        return answer

    async def log_in(self, password: str = PASSWORD) -> Person:
        answer = await self.http.post(
            "/auth/login", json={"username": self.name, "password": password}
        )
        assert answer.status_code == 200, answer.text
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return self

    async def announce(
        self, content: bytes, filename: str, content_type: str = "text/plain", **more: Any
    ) -> dict[str, Any]:
        body = {
            "filename": filename,
            "content_type": content_type,
            "size": len(content),
            **more,
        }
        answer = await self.call("POST", "/api/v1/documents", json=body)
        assert answer.status_code == 201, answer.text
        ticket: dict[str, Any] = answer.json()
        return ticket

    async def upload(self, ticket: dict[str, Any], content: bytes) -> httpx.Response:
        """Sends the bytes as a client without our credentials: the form alone is the permission."""
        upload = ticket["upload"]
        async with httpx.AsyncClient(timeout=60, trust_env=False) as s3:
            if upload["method"] == "PUT":
                return await s3.put(upload["url"], content=content, headers=upload["headers"])
            files = {"file": ("file", content)}
            return await s3.post(upload["url"], data=upload["fields"], files=files)

    async def complete(self, document_id: str, **body: Any) -> httpx.Response:
        path = f"/api/v1/documents/{document_id}/complete"
        return await self.call("POST", path, json=body or None)

    async def add(self, content: bytes, filename: str, content_type: str = "text/plain") -> str:
        """The whole way of one document until it is indexed; its id."""
        digest = hashlib.sha256(content).hexdigest()
        ticket = await self.announce(content, filename, content_type, sha256=digest)
        sent = await self.upload(ticket, content)
        assert sent.is_success, sent.text
        completed = await self.complete(ticket["document_id"])
        assert completed.status_code == 202, completed.text
        document = await self.settled(ticket["document_id"])
        assert document["status"] == "indexed", document
        return str(ticket["document_id"])

    async def read(self, document_id: str) -> httpx.Response:
        return await self.call("GET", f"/api/v1/documents/{document_id}")

    async def settled(self, document_id: str) -> dict[str, Any]:
        """The document once its workflow has come to an end, good or bad."""
        async with asyncio.timeout(INDEX_LIMIT_S):
            while True:
                answer = await self.read(document_id)
                assert answer.status_code == 200, answer.text
                document: dict[str, Any] = answer.json()
                if document["status"] in {"indexed", "failed", "expired"}:
                    return document
                await asyncio.sleep(0.25)

    async def ask(self, query: str, **more: Any) -> Streamed:
        async with self.http.stream(
            "POST", "/api/v1/query", json={"query": query, **more}
        ) as answer:
            raw = await answer.aread()
        if answer.status_code != 200:
            return Streamed(answer.status_code, raw=raw)
        return Streamed(200, list(parse_events(raw)), raw)

    async def aclose(self) -> None:
        await self.http.aclose()


def parse_events(raw: bytes) -> list[tuple[str, Any]]:
    """Events of a finished stream, comments left out. The gateway's streams use LF alone."""
    found = []
    for block in raw.decode("utf-8").split("\n\n"):
        lines = dict(
            line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":")
        )
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


async def until(condition: Any, limit_s: float = 30) -> Any:
    """Polls an async condition until it gives something true."""
    async with asyncio.timeout(limit_s):
        while True:
            if found := await condition():
                return found
            await asyncio.sleep(0.05)
