"""A core on FastAPI's ``StreamingResponse``; uvicorn serves it."""

from __future__ import annotations

from typing import Any

from answers import Order, written
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.post("/v1/query")
async def query(body: dict[str, Any]) -> StreamingResponse:
    return StreamingResponse(written(Order.read(body)), media_type="text/event-stream")


@app.get("/healthz")
async def health() -> dict[str, str]:
    return {"status": "ok"}
