"""A core on Starlette with sse-starlette, whose lines end in CR LF; uvicorn serves it."""

from __future__ import annotations

from answers import Order, answer
from sse_starlette.sse import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


async def query(request: Request) -> EventSourceResponse:
    order = Order.read(await request.json())
    return EventSourceResponse(
        ServerSentEvent(data=data, event=name) async for name, data in answer(order)
    )


async def health(request: Request) -> JSONResponse:
    return JSONResponse({"status": "ok"})


app = Starlette(routes=[Route("/v1/query", query, methods=["POST"]), Route("/healthz", health)])
