"""Starts the provider, signs people in at it, and has it rotate its keys, hang or be away.

``python -m tools.node_packages`` installs it; without it a test is skipped, or fails where all must
be real.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from devstack import components
from devstack.components import Launch, Missing, Running, answering, free_port
from devstack.environment import inherited
from tests.components import START_LIMIT_S, missing_components
from tools.node_packages import PROVIDER
from tools.node_packages import node as find_node

SCRIPT = Path(__file__).with_name("provider.mjs")
AUDIENCE = "knowledge-base"
# A program of a person's own, which a test is: a public client on this machine.
CLI: Mapping[str, Any] = {
    "client_id": "kb-cli",
    "application_type": "native",
    "token_endpoint_auth_method": "none",
    "redirect_uris": ["http://127.0.0.1/signed-in"],
}
PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "erin": {"name": "Erin Example", "groups": ["kb-editors"], "organization": "acme"},
    "rita": {"name": "Rita Example", "groups": ["kb-readers"], "organization": "acme"},
    "adam": {"name": "Adam Example", "groups": ["kb-admins"], "organization": "acme"},
    "nora": {"name": "Nora Example", "groups": ["canteen"], "organization": "acme"},
    "olga": {"name": "Olga Example", "groups": ["kb-editors"], "organization": "other"},
}
# What a gateway is told of it, without the issuer; names have no prefix.
SETTINGS: Mapping[str, str] = {
    "PUBLIC_URL": "https://kb.example.com",
    "OIDC_AUDIENCE": AUDIENCE,
    "OIDC_CLIENTS": "kb-cli",
    "OIDC_TENANT_CLAIM": "organization",
    "OIDC_ROLES_CLAIM": "groups",
    "OIDC_ROLES": "kb-readers reader; kb-editors editor; kb-admins admin",
}


def gateways_now() -> float:
    """For a gateway's clock that stands still, beside the provider's, which does not: so far ahead
    that no token is from the future, however long the test takes."""
    return time.time() + 1200


@dataclass
class Provider:
    """A running provider; ``running.child`` can be frozen, killed and started again."""

    running: Running
    client: httpx.AsyncClient

    @property
    def issuer(self) -> str:
        return self.running.launch.address

    @property
    def settings(self) -> dict[str, str]:
        """For a gateway that takes its tokens."""
        return {**SETTINGS, "OIDC_ISSUER": self.issuer}

    async def change(self, **values: Any) -> None:
        """Other people, clients, ``algorithm``, ``audience`` or ``lifetime_s`` from now on."""
        answer = await self.client.post(f"{self.issuer}/control", json=values)
        assert answer.status_code == 200, answer.text

    async def rotate(self, *, keep: bool) -> None:
        """New keys, beside those of before or in their place."""
        await self.change(rotate="keep" if keep else "drop")

    async def token(self, person: str) -> str:
        """A fresh access token of somebody who signs in by a program of his own."""
        return str((await self.sign_in(person))["access_token"])

    async def sign_in(self, person: str, client: Mapping[str, Any] = CLI) -> dict[str, Any]:
        """The authorization code flow to its end; what the token endpoint answers."""
        verifier = secrets.token_urlsafe(32)
        redirect_uri = str(client["redirect_uris"][0])
        code = await self._code(person, client, redirect_uri, verifier)
        answer = await self.client.post(
            f"{self.issuer}/token",
            data={
                "grant_type": "authorization_code",
                "client_id": client["client_id"],
                "code": code,
                "code_verifier": verifier,
                "redirect_uri": redirect_uri,
            },
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def _code(
        self, person: str, client: Mapping[str, Any], redirect_uri: str, verifier: str
    ) -> str:
        digest = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": client["client_id"],
            "redirect_uri": redirect_uri,
            "scope": "openid profile kb",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "login_hint": person,
        }
        # Without the cookies of before: else whoever signed in last would be taken for this one.
        async with httpx.AsyncClient() as browser:
            answer = await browser.get(f"{self.issuer}/auth", params=asked)
            for _ in range(8):
                place = answer.headers.get("location", "")
                if place.startswith(redirect_uri):
                    break
                assert answer.is_redirect, answer.text
                answer = await browser.get(str(answer.url.join(place)))
        found = parse_qs(urlsplit(place).query)
        assert "code" in found, place
        return found["code"][0]


@contextlib.asynccontextmanager
async def running_provider(folder: Path, **config: Any) -> AsyncIterator[Provider]:
    """Started and ready; ``config`` is what ``change`` takes. At the end it is stopped."""
    try:
        node, modules = find_node(), PROVIDER.modules()
    except Missing as error:
        missing_components(error)
    told = json.dumps({"audience": AUDIENCE, "people": PEOPLE, "clients": [CLI], **config})

    def launch() -> Launch:
        port = free_port()
        command = [str(node), str(SCRIPT), str(modules), str(port), told]
        ready = answering(port, "/.well-known/openid-configuration")
        return Launch(command, f"http://127.0.0.1:{port}", ready)

    env = inherited(os.environ)
    running = await components.start(
        "provider", launch, env=env, cwd=folder, timeout_s=START_LIMIT_S
    )
    try:
        async with httpx.AsyncClient(timeout=30) as client:
            yield Provider(running, client)
    finally:
        await running.child.stop()
