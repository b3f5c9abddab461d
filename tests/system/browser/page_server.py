"""Serves the pages under test on two origins, hears what they report, and plays the language model.

The model is the one part of the line that is ours: it holds its answer back until the page says
that it has seen the beginning, which no assertion on time could show as surely.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiohttp import web

from tools.build_client import CONSOLE

PAGES = Path(__file__).parent / "pages"
# Until when a page may report, or the model waits for it. Not a speed that is asserted.
LIMIT_S = 120.0

FIRST_WORDS = "The lighthouse "
OTHER_WORDS = ("of Skellig ", "was lit in 1826 [1].")
ENDLESS = "endlessly"


@dataclass
class PageServer:
    """``origin`` is the one the gateway allows; ``stranger`` serves the same pages and is not."""

    origin: str = ""
    stranger: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    first_token_seen: asyncio.Event = field(default_factory=asyncio.Event)
    model_left: asyncio.Event = field(default_factory=asyncio.Event)
    _reports: dict[str, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls) -> AsyncIterator[Self]:
        server = cls()
        app = web.Application()
        app.router.add_get("/config.json", server._config)
        app.router.add_post("/report/{scenario}", server._report)
        app.router.add_post("/first-token", server._first_token)
        app.router.add_post("/v1/chat/completions", server._chat)
        app.router.add_static("/client/", CONSOLE)
        app.router.add_static("/", PAGES)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        try:
            for _ in range(2):
                await web.TCPSite(runner, "127.0.0.1", 0).start()
            server.origin, server.stranger = (
                f"http://{host}:{port}" for host, port in runner.addresses
            )
            yield server
        finally:
            await runner.cleanup()

    def address(self, scenario: str, origin: str | None = None) -> str:
        """The page that runs ``pages/<scenario>.js``; its report can be awaited from now on."""
        self._reports[scenario] = asyncio.get_running_loop().create_future()
        return f"{origin or self.origin}/page.html?scenario={scenario}"

    async def report(self, scenario: str) -> Any:
        """What the scenario returned; an exception in the page fails the test with its stack."""
        async with asyncio.timeout(LIMIT_S):
            told = await self._reports[scenario]
        assert "failed" not in told, told["failed"]
        return told["result"]

    async def _config(self, _request: web.Request) -> web.Response:
        return web.json_response(self.config)

    async def _report(self, request: web.Request) -> web.Response:
        self._reports[request.match_info["scenario"]].set_result(await request.json())
        return web.Response(status=204)

    async def _first_token(self, _request: web.Request) -> web.Response:
        self.first_token_seen.set()
        return web.Response(status=204)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = (await request.json())["messages"][-1]["content"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if ENDLESS in asked:
            await self._chat_until_left(response)
        else:
            await self._chat_in_two_steps(response)
        return response

    async def _chat_in_two_steps(self, response: web.StreamResponse) -> None:
        await response.write(_chunk(FIRST_WORDS))
        async with asyncio.timeout(LIMIT_S):
            await self.first_token_seen.wait()
        for words in OTHER_WORDS:
            await response.write(_chunk(words))
        await response.write(_chunk("", "stop") + b"data: [DONE]\n\n")

    async def _chat_until_left(self, response: web.StreamResponse) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(_chunk("and on "))
                await asyncio.sleep(0.02)
        self.model_left.set()


def _chunk(text: str, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
