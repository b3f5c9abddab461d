"""Tabs of a real Chromium, each in a browser context of its own and signed in as a user of its own.

Playwright drives Debian's Chromium; nothing is downloaded. Waiting is by ``expect``.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from gateway.adapters.argon2_passwords import hash_password
from gateway.adapters.users_file import editing
from gateway.domain.identity import User
from tests.system.browser.chromium import find_chromium

PASSWORD = "a password of the console's tests"
ROLES = ("editor", "admin", "reader")
# As many as there may be tests that want one; a new tenant for each of them.
ACCOUNTS = 150
WIDE, PHONE = (1280, 900), (360, 740)
# For whatever is waited for: no speed is asserted, and the machine may be busy.
PATIENCE_MS = 30_000

# Before any script of the page: what its policy forbids is noticed from the first byte on.
WATCH = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => {
        const { violatedDirective, blockedURI, sourceFile } = event;
        window.violations.push(`${violatedDirective} ${blockedURI} ${sourceFile}`);
    });
"""


def name_of(role: str, number: int) -> str:
    return f"{role}-{number}"


def write_accounts(path: Path) -> None:
    """Users enough for every test, in tenants of their own: no admin sees another test's."""
    hashed = hash_password(PASSWORD)
    with editing(str(path)) as users:
        for number in range(ACCOUNTS):
            for role in ROLES:
                name = name_of(role, number)
                users[name] = User(name, f"tenant-{number}", frozenset({role}), hashed)


@dataclass
class Tab:
    """A page, and whoever is signed in on it.

    ``complaints`` are exceptions that no script caught, and what the page's policy refused.
    """

    page: Page
    context: BrowserContext
    base_url: str
    name: str
    tenant: str
    token: str
    complaints: list[str] = field(default_factory=list)

    async def open(self, place: str = "#/ask") -> None:
        """A screen by its address, in the page that is open already where one is."""
        if self.page.url.startswith(f"{self.base_url}/console"):
            await self.page.evaluate("(place) => { location.hash = place; }", place)
        else:
            await self.page.goto(f"{self.base_url}/console{place}")
        await expect(self.page.get_by_role("heading", level=1).first).to_be_visible()

    async def api(self, method: str, path: str, **body: Any) -> Any:
        """What the API answers this user, beside the page: for what a test needs to be there."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(
            base_url=self.base_url, headers=headers, timeout=30, trust_env=False
        ) as http:
            answer = await http.request(method, path, json=body or None)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def watch(self) -> None:
        self.page.on("pageerror", lambda error: self.complaints.append(f"pageerror: {error}"))
        self.page.on("console", self._console)

    def _console(self, message: Any) -> None:
        if "Content Security Policy" in message.text or "violates" in message.text:
            self.complaints.append(message.text)


class Tabs:
    """Opens tabs; all of them are closed at the end, and must have complained of nothing."""

    _numbers = itertools.count()

    def __init__(self, browser: Browser, base_url: str, closing: AsyncExitStack) -> None:
        self._browser = browser
        self.base_url = base_url
        self._closing = closing
        self._opened: list[Tab] = []

    async def __call__(
        self,
        role: str = "editor",
        *,
        beside: Tab | None = None,
        base_url: str | None = None,
        size: tuple[int, int] = WIDE,
        dark: bool = False,
    ) -> Tab:
        """A tab of a user that no other test has, in a tenant of his own, signed in.

        ``beside`` puts him into the tenant of somebody else. ``base_url`` is another gateway's.
        """
        number = next(self._numbers) if beside is None else int(beside.tenant.partition("-")[2])
        tab = await self.stranger(base_url=base_url, size=size, dark=dark)
        tab.name, tab.tenant = name_of(role, number), f"tenant-{number}"
        issued = await sign_in(tab.base_url, tab.name)
        tab.token = issued["access_token"]
        kept = {"token": tab.token, "expiresAt": None}
        # Any address of the origin has its storage; this one shows nothing.
        await tab.page.goto(f"{tab.base_url}/healthz")
        await tab.page.evaluate(
            "(kept) => sessionStorage.setItem('kb.session', kept)", json.dumps(kept)
        )
        return tab

    async def stranger(
        self,
        *,
        base_url: str | None = None,
        size: tuple[int, int] = WIDE,
        dark: bool = False,
    ) -> Tab:
        """A tab in which nobody is signed in, and nothing is open."""
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if dark else "light",
            locale="en-GB",
            timezone_id="UTC",
            reduced_motion="reduce",
        )
        self._closing.push_async_callback(context.close)
        context.set_default_timeout(PATIENCE_MS)
        await context.add_init_script(WATCH)
        page = await context.new_page()
        tab = Tab(page, context, base_url or self.base_url, "", "", "")
        tab.watch()
        self._opened.append(tab)
        return tab

    def complaints(self) -> list[str]:
        return [text for tab in self._opened for text in tab.complaints]


async def sign_in(base_url: str, name: str, password: str = PASSWORD) -> Any:
    async with httpx.AsyncClient(base_url=base_url, timeout=30, trust_env=False) as http:
        answer = await http.post("/auth/login", json={"username": name, "password": password})
    assert answer.status_code == 200, answer.text
    return answer.json()


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """No sandbox, which root and most containers can't have: it only opens pages of our own."""
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_chromium(),
            args=[
                *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
                # It finds nobody but this machine, so that no test can come to need the network.
                *("--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()
