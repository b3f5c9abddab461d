"""A core that names revisions, and counts what it is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from .stub_core import DONE, META, TOKEN, StubCore

REVISION = "X-KB-Corpus-Revision"
RECORD = {
    "filename": "tea.txt",
    "content_type": "text/plain",
    "size": 3,
    "status": "indexed",
    "error": None,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "sha256": None,
}


class RevisedCore(StubCore):
    """Answers each question with ``answer``, piece by piece.

    Attributes:
        revision: of everybody's documents; without one it has no such call.
        questions: whose they were, in their order.
        go_on: cleared, an answer ends after its first piece until it is set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answer: tuple[bytes, ...] = (META, TOKEN, DONE)
        self.revision: str | None = "r1"
        self.asked_revision = 0
        self.questions: list[tuple[str, str]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        named = {} if self.revision is None else {REVISION: self.revision}
        if request.path == "/v1/query":
            return await self._answer(request, named)
        if request.path == "/v1/revision":
            self.asked_revision += 1
            if self.revision is None:
                return web.Response(status=404)
            return web.json_response({"revision": self.revision})
        if request.method == "DELETE":
            return web.Response(status=204, headers=named)
        record = RECORD | {"document_id": request.path.rpartition("/")[2]}
        return web.json_response(record, headers=named)

    async def _answer(self, request: web.Request, named: dict[str, str]) -> web.StreamResponse:
        await request.read()
        self.questions.append((request.headers["X-KB-Tenant"], request.headers["X-KB-Subject"]))
        self.asked.set()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **named})
        await response.prepare(request)
        for piece in self.answer:
            await response.write(piece)
            await self.go_on.wait()
        return response


@contextlib.asynccontextmanager
async def served(app: web.Application) -> AsyncIterator[str]:
    """Its base URL."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def revised_core() -> AsyncIterator[RevisedCore]:
    core, app = RevisedCore(), web.Application()
    app.router.add_route("*", "/{path:.*}", core.handle)
    async with served(app) as url:
        core.url = url
        yield core
