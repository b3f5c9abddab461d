"""The core on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import httpx

from knowledge_base._io import (
    FAILURES,
    Io,
    Response,
    Timeouts,
    blocks_apart,
    head_is_in,
    lower,
    request_timeout,
    translated,
)
from knowledge_base._requests import FileBody, Request

T = TypeVar("T")


class AsyncResponse(Response):
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = lower(response.headers)
        self._response = response
        self._blocks = response.aiter_bytes()

    async def read(self) -> bytes:
        try:
            async for block in self._blocks:
                if block:
                    return block
        except FAILURES as exc:
            raise translated(exc) from exc
        return b""

    async def close(self) -> None:
        await self._response.aclose()


class AsyncIo(Io):
    """On ``httpx.AsyncClient``. Tasks of one loop may share it."""

    def __init__(self, client: httpx.AsyncClient, timeouts: Timeouts) -> None:
        self._client = client
        self._timeouts = timeouts

    async def open(self, request: Request, headers: Mapping[str, str]) -> Response:
        body = request.body
        try:
            built = self._client.build_request(
                request.method,
                request.path,
                params=request.query or None,
                headers=headers,
                content=blocks_apart(self, body.blocks()) if isinstance(body, FileBody) else body,
                extensions={"timeout": request_timeout(request, self._timeouts)},
            )
            response = await self._client.send(built, stream=True)
        except FAILURES as exc:
            raise translated(exc) from exc
        head_is_in(request, built, self._timeouts)
        return AsyncResponse(response)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def apart(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def together(
        self, works: Sequence[Coroutine[Any, Any, None]], stop: Callable[[], None]
    ) -> None:
        under_way = [asyncio.ensure_future(work) for work in works]
        try:
            await asyncio.gather(*under_way)
        finally:
            stop()
            for one in under_way:
                one.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def lock(self) -> AbstractAsyncContextManager[object]:
        return asyncio.Lock()

    async def close(self) -> None:
        await self._client.aclose()
