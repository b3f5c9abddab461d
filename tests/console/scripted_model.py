"""The language model of the console's stack: it says what a test wrote, and waits when told to.

All else is real. What no test has written it answers with the beginning of the first source.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

# Until when the model waits for a test. Not a speed that is asserted.
LIMIT_S = 120.0
# As a part of an answer: the model's connection breaks there.
BREAKS = None
Part = str | asyncio.Event | None

_ASKED = re.compile(r"\nQuestion: (.*)\Z", re.S)
_SOURCE = re.compile(r"\[1\] [^\n]*\n(.{1,200})")


@dataclass
class Script:
    """An answer: its parts, one after the other. Where there is an event the model waits for it.

    ``asked`` is set once the model was asked, ``left`` once nobody listened before its end.
    """

    parts: tuple[Part, ...]
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)


class ScriptedModel:
    """An OpenAI-compatible endpoint at ``base_url``."""

    def __init__(self) -> None:
        self.base_url = ""
        self._scripts: dict[str, Script] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls) -> AsyncIterator[Self]:
        model = cls()
        app = web.Application()
        app.router.add_post("/v1/chat/completions", model._chat)
        # A request whose caller leaves is cancelled, which is how the model knows of it.
        runner = web.AppRunner(app, shutdown_timeout=1.0, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            model.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
            yield model
        finally:
            await runner.cleanup()

    def says(self, question: str, *parts: Part) -> Script:
        """What it answers to this question from now on."""
        script = self._scripts[question] = Script(parts)
        return script

    def forget(self) -> None:
        """Whatever was written."""
        self._scripts.clear()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        prompt = (await request.json())["messages"][-1]["content"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        script = self._script(prompt)
        script.asked.set()
        try:
            await self._say(request, response, script)
        except (ConnectionError, asyncio.CancelledError):
            script.left.set()
            raise
        return response

    def _script(self, prompt: str) -> Script:
        asked, source = _ASKED.search(prompt), _SOURCE.search(prompt)
        said = f"{source[1] if source else 'Nothing.'} [1]"
        return self._scripts.get(asked[1] if asked else "", Script((said,)))

    async def _say(
        self, request: web.Request, response: web.StreamResponse, script: Script
    ) -> None:
        for part in script.parts:
            if isinstance(part, str):
                await response.write(_chunk(part))
            elif part is BREAKS:
                assert request.transport is not None
                request.transport.close()
                return
            else:
                async with asyncio.timeout(LIMIT_S):
                    await part.wait()
        usage = {"prompt_tokens": 1234, "completion_tokens": len(script.parts)}
        await response.write(_chunk("", "stop", usage) + b"data: [DONE]\n\n")


def _chunk(text: str, finish_reason: str | None = None, usage: object = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"choices": [choice], "usage": usage}).encode() + b"\n\n"
