"""The usual Python relay: FastAPI, an httpx client, a StreamingResponse."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse

CLIENT: httpx.AsyncClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    global CLIENT
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=1000)
    async with httpx.AsyncClient(
        base_url=os.environ["CORE"], limits=limits, timeout=900, trust_env=False
    ) as CLIENT:
        yield


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.api_route("/{path:path}", methods=["GET", "POST"])
async def relay(request: Request, path: str) -> StreamingResponse:
    names = ("content-type", "accept", "authorization")
    headers = {name: request.headers[name] for name in names if name in request.headers}
    forwarded = CLIENT.build_request(
        request.method, f"/{path}", headers=headers, content=await request.body()
    )
    answer = await CLIENT.send(forwarded, stream=True)
    return StreamingResponse(
        answer.aiter_raw(),
        status_code=answer.status_code,
        media_type=answer.headers.get("content-type"),
        background=BackgroundTask(answer.aclose),
    )
