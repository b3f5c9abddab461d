"""An OpenID Connect provider that does what a test says, and so what a real one never would.

A test is its browser: it takes the address that the gateway sends one to, and ``signs_in`` gives
the address to which the provider would send it back.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT_ID, CLIENT_SECRET = "knowledge-base", "a-secret:of+the%client"
KEY_ID = "the only key"


@cache
def signing_key() -> rsa.RSAPrivateKey:
    """Takes a moment to make."""
    return rsa.generate_private_key(65537, 2048)


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def signed(claims: dict[str, Any], key: rsa.RSAPrivateKey | None = None) -> str:
    """An RS256 token."""
    head = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
    text = ".".join(encoded(json.dumps(part).encode()) for part in (head, claims))
    signature = (key or signing_key()).sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{encoded(signature)}"


@dataclass
class ScriptedProvider:
    """Answers as the standards want, but for what a test changes.

    Attributes:
        issuer: its own address, unless it claims to be another.
        now: its clock, Unix seconds.
        claims: what its ID tokens say besides, or instead.
        metadata: what it publishes besides, or instead.
        token_answer: status and body in place of a token.
        hangs: its token endpoint takes requests and says nothing.
        asked: how often each path was asked for.
        forms: what its token endpoint was sent, with the ``Authorization`` of each.
        issued: the ID tokens that it gave.
        issued: the ID tokens that it gave.
    """

    address: str = ""
    issuer: str = ""
    now: float = 1_800_000_000.0
    claims: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    token_answer: tuple[int, bytes] | None = None
    hangs: bool = False
    asked: Counter[str] = field(default_factory=Counter)
    forms: list[dict[str, str]] = field(default_factory=list)
    issued: list[str] = field(default_factory=list)
    granted: dict[str, dict[str, str]] = field(default_factory=dict)

    def grant(self, location: str) -> str:
        """A code for whoever was sent to ``location``."""
        code = secrets.token_urlsafe(24)
        self.granted[code] = dict(parse_qsl(urlsplit(location).query))
        return code

    def signs_in(self, location: str, **changes: str | None) -> str:
        """The query with which the browser comes back; ``None`` leaves a parameter out."""
        asked = dict(parse_qsl(urlsplit(location).query))
        answer = {"code": self.grant(location), "state": asked["state"], "iss": self.issuer}
        told = {**answer, **changes}
        return urlencode({name: text for name, text in told.items() if text is not None})

    def _sent_back(self, path: str) -> str:
        """Of a browser that is known: it sees no page."""
        asked = dict(parse_qsl(urlsplit(path).query))
        return f"{asked['redirect_uri']}?{self.signs_in(path)}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ", 2)[1]
        self.asked[path.partition("?")[0]] += 1
        length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
        body = await reader.readexactly(int(length[1]) if length else 0)
        status, told = await self._told(path, head, body)
        answered = told if isinstance(told, bytes) else json.dumps(told).encode()
        first = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nConnection: close\r\n"
        if path.startswith("/auth?"):
            first += f"Location: {self._sent_back(path)}\r\n"
        writer.write(f"{first}Content-Length: {len(answered)}\r\n\r\n".encode() + answered)
        await writer.drain()

    async def _told(self, path: str, head: str, body: bytes) -> tuple[int, Any]:
        match path:
            case "/.well-known/openid-configuration":
                return 200, self._published()
            case "/jwks":
                numbers = signing_key().public_key().public_numbers()
                key = {"kty": "RSA", "kid": KEY_ID, "use": "sig", "alg": "RS256"}
                return 200, {"keys": [{**key, "n": _number(numbers.n), "e": _number(numbers.e)}]}
            case _ if path.startswith("/auth?"):
                return 303, b""
            case "/token":
                return await self._token(head, body)
        return 404, {}

    def _published(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.address}/auth",
            "token_endpoint": f"{self.address}/token",
            "jwks_uri": f"{self.address}/jwks",
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }

    async def _token(self, head: str, body: bytes) -> tuple[int, Any]:
        form = dict(parse_qsl(body.decode("ascii"), strict_parsing=True))
        sent = re.search(r"(?i)\r\nauthorization: ([^\r]*)", head)
        self.forms.append({**form, "authorization": sent[1] if sent else ""})
        if self.hangs:
            await asyncio.Event().wait()
        if self.token_answer is not None:
            return self.token_answer
        # Good once, for the verifier whose digest was sent.
        granted = self.granted.pop(form.get("code", ""), {})
        digest = encoded(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if granted.get("code_challenge") != digest:
            return 400, {"error": "invalid_grant", "error_description": "no such code"}
        if granted["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant"}
        self.issued.append(signed({**self._usual(granted), **self.claims}))
        told = {"access_token": "of no use", "token_type": "Bearer"}
        return 200, {**told, "id_token": self.issued[-1]}

    def _usual(self, granted: dict[str, str]) -> dict[str, Any]:
        return {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "sub": "Jane.Doe@example.com",
            "name": "Jane Doe",
            "groups": ["kb-editors"],
            "iat": int(self.now),
            "exp": int(self.now) + 3600,
            "nonce": granted.get("nonce"),
        }


@contextlib.asynccontextmanager
async def scripted_provider(issuer: str = "") -> AsyncIterator[ScriptedProvider]:
    """Runs one; ``issuer`` is who it claims to be, itself if that is left out."""
    provider = ScriptedProvider()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await provider.answer(reader, writer)
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    provider.address = f"http://{host}:{port}"
    provider.issuer = issuer or provider.address
    try:
        yield provider
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
