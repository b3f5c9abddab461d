"""Headless Chromium, driven over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from devstack.environment import inherited
from devstack.processes import Child, Scratch, start_and_wait

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_LIMIT_S = 60.0
# One event can hold all that a page uploads.
LARGEST_MESSAGE_BYTES = 64 * 1024 * 1024

Event = dict[str, Any]


def find_chromium() -> str:
    """Its path; without one the tests fail where everything must be real, and skip elsewhere."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    told = "Chromium is not on PATH: install it (Debian, Ubuntu: `apt-get install chromium`)"
    if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
        pytest.fail(told)
    pytest.skip(told)


def command_line(program: str, profile: Path) -> list[str]:
    """No sandbox, which root and most containers can't have: it only opens pages of our own."""
    return [
        program,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *("--disable-quic", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--disable-extensions"),
        # It finds nobody but this machine, so that no test can come to need the network.
        *("--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
        *("--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"),
    ]


@dataclass
class Page:
    """One tab in a browser context of its own: no cache, cookie or preflight is shared."""

    browser: Browser
    session: str
    events: list[Event] = field(default_factory=list)

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        return await self.browser.send(method, session=self.session, **params)

    def named(self, method: str) -> list[dict[str, Any]]:
        """The parameters of every event of this name since the page was opened."""
        return [event["params"] for event in self.events if event["method"] == method]

    async def evaluate(self, expression: str) -> Any:
        """A JavaScript expression's value; promises are awaited."""
        told = await self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def resize(self, width: int, height: int) -> None:
        """The size of the window in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.send("Emulation.setDeviceMetricsOverride", **size)

    def requests(self) -> list[str]:
        """``METHOD URL`` of whatever the page asked for, preflights included."""
        sent = self.named("Network.requestWillBeSent")
        return [f"{one['request']['method']} {one['request']['url']}" for one in sent]

    def complaints(self) -> list[str]:
        """What the browser holds against the page: policy violations, exceptions, failed loads."""
        return [
            *(str(one["issue"]) for one in self.named("Audits.issueAdded")),
            *(one["entry"]["text"] for one in self.named("Log.entryAdded")),
            *(str(one["exceptionDetails"]) for one in self.named("Runtime.exceptionThrown")),
        ]


class Browser:
    """A running Chromium; ``page`` opens tabs. Use ``started``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, program: str) -> AsyncIterator[Self]:
        """Runs Chromium for the block; neither a process nor its profile outlives it."""
        with Scratch("chromium-") as scratch:
            child = Child(
                "chromium",
                command_line(program, scratch.path / "profile"),
                env=inherited(os.environ) | {"HOME": str(scratch.path)},
                cwd=scratch.path,
                alive=scratch.alive,
            )
            try:
                await start_and_wait(child, lambda: _listening(child), START_LIMIT_S)
                async with cls._connected(_devtools_url(child)) as browser:
                    yield browser
            finally:
                await child.stop()

    @classmethod
    @contextlib.asynccontextmanager
    async def _connected(cls, url: str) -> AsyncIterator[Self]:
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(url, max_msg_size=LARGEST_MESSAGE_BYTES) as socket,
        ):
            browser = cls(socket)
            listening = asyncio.create_task(browser._listen(), name="devtools")
            try:
                yield browser
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told)
            elif page := self._pages.get(told.get("sessionId", "")):
                page.events.append(told)

    async def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """One command and its result; a refusal fails the test."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": params}
        await self._socket.send_json(command | ({"sessionId": session} if session else {}))
        async with asyncio.timeout(30):
            told = await answer
        assert "error" not in told, (method, told)
        result: dict[str, Any] = told["result"]
        return result

    @contextlib.asynccontextmanager
    async def page(self, url: str) -> AsyncIterator[Page]:
        """Opens ``url`` in a tab that is watched from before its first request."""
        context = (await self.send("Target.createBrowserContext"))["browserContextId"]
        made = await self.send("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.send("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        page = self._pages[attached["sessionId"]] = Page(self, attached["sessionId"])
        try:
            for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
                await page.send(f"{domain}.enable")
            await page.send("Page.navigate", url=url)
            yield page
        finally:
            del self._pages[page.session]
            await self.send("Target.disposeBrowserContext", browserContextId=context)


def _devtools_url(child: Child) -> str:
    """Where its DevTools answer, which it prints once they do; empty until then."""
    found = (re.search(r"DevTools listening on (ws://\S+)", line) for line in child.output)
    return next((match.group(1) for match in found if match), "")


async def _listening(child: Child) -> bool:
    return bool(_devtools_url(child))
