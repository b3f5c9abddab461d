"""A core on Sanic: ``python sanic_core.py PORT``."""

from __future__ import annotations

import sys

from answers import Order, written
from sanic import HTTPResponse, Request, Sanic
from sanic.response import json

app = Sanic("core", configure_logging=False)
app.config.RESPONSE_TIMEOUT = 3600


@app.post("/v1/query")
async def query(request: Request) -> None:
    response = await request.respond(content_type="text/event-stream")
    async for event in written(Order.read(request.json)):
        await response.send(event)
    await response.eof()


@app.get("/healthz")
async def health(request: Request) -> HTTPResponse:
    return json({"status": "ok"})


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]), single_process=True, access_log=False, backlog=4096)
