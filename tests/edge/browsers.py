"""What a browser does with cookies and redirects, by hand: tests of sign-ins act as one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from .conftest import Gateway
from .raw import Answer, exchange, request
from .scripted_provider import ScriptedProvider

PUBLIC_URL = "https://kb.example.com"
SESSION = "__Host-kbg-session"
CALLBACK = "/api/v1/auth/oidc/callback"
START = "/api/v1/auth/oidc/start"
OWN = {"Origin": PUBLIC_URL, "Sec-Fetch-Site": "same-origin", "X-CSRF-Protection": "1"}


@dataclass
class ByHand:
    """One browser. ``set`` has every ``Set-Cookie`` that it was sent, by the cookie's name."""

    cookies: dict[str, str] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)

    async def send(
        self,
        gateway: Gateway,
        method: str,
        target: str,
        body: bytes | None = None,
        **headers: str,
    ) -> Answer:
        """Headers by their names, with ``_`` for ``-``; cookies come along, and are kept."""
        sent = {name.replace("_", "-"): text for name, text in headers.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={text}" for name, text in self.cookies.items())
        answer = await exchange(gateway.address, request(method, target, sent, body))
        for name, text in answer.headers:
            if name == "set-cookie":
                self._keep(text)
        return answer

    async def get(self, gateway: Gateway, target: str, **headers: str) -> Answer:
        return await self.send(gateway, "GET", target, **headers)

    async def post(
        self, gateway: Gateway, target: str, body: bytes | None = None, **headers: str
    ) -> Answer:
        """From a page of the gateway's own."""
        own = {name.replace("-", "_"): text for name, text in OWN.items()}
        return await self.send(gateway, "POST", target, body, **{**own, **headers})

    def _keep(self, text: str) -> None:
        pair, *attributes = text.split("; ")
        name, _, value = pair.partition("=")
        self.set[name] = text
        if "Max-Age=0" in attributes:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value

    # --- signing in -----------------------------------------------------------------------------

    async def begin(self, gateway: Gateway, return_to: str = "/console") -> str:
        """The address at the provider."""
        answer = await self.get(gateway, f"{START}?return_to={return_to}")
        assert answer.status == 302, answer.body
        return answer.header("location") or ""

    async def sign_in(
        self, gateway: Gateway, provider: ScriptedProvider, **changes: str | None
    ) -> Answer:
        """The whole way; the callback's answer."""
        location = await self.begin(gateway)
        return await self.get(gateway, f"{CALLBACK}?{provider.signs_in(location, **changes)}")

    async def me(self, gateway: Gateway, **headers: str) -> dict[str, Any]:
        answer = await self.get(gateway, "/api/v1/auth/me", **headers)
        assert answer.status == 200, answer.body
        return dict(answer.json())

    @property
    def pending(self) -> list[str]:
        """The names of the sign-ins that it keeps."""
        return [name for name in self.cookies if "sign-in" in name]


async def signed_in(gateway: Gateway, provider: ScriptedProvider) -> ByHand:
    browser = ByHand()
    answer = await browser.sign_in(gateway, provider)
    assert answer.status == 302, answer.body
    assert urlsplit(answer.header("location") or "").path == "/console"
    return browser
