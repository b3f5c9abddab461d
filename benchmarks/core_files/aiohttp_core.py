"""A core on aiohttp's server: ``python aiohttp_core.py PORT``."""

from __future__ import annotations

import sys

from aiohttp import web
from answers import Order, written


async def query(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    async for event in written(Order.read(await request.json())):
        await response.write(event)
    await response.write_eof()
    return response


async def health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.post("/v1/query", query), web.get("/healthz", health)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, backlog=4096)
