"""The core without a loop: everything is done at once, so its coroutines never wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

import httpx

from knowledge_base._io import (
    FAILURES,
    Io,
    Response,
    Timeouts,
    head_is_in,
    lower,
    request_timeout,
    translated,
)
from knowledge_base._requests import FileBody, Request

T = TypeVar("T")
# A signal that comes just before a thread begins to wait for a lock does not wake it: Ctrl-C is
# seen when the wait is over, so none is longer than this.
SIGNALS_S = 0.5


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine over ``SyncIo`` to its end, in this one step."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    work.close()
    raise RuntimeError("something that waits was awaited without a loop")


class SyncResponse(Response):
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers = lower(response.headers)
        self._response = response
        self._blocks = response.iter_bytes()

    async def read(self) -> bytes:
        try:
            # An empty block is none: a coding may give one.
            return next((block for block in self._blocks if block), b"")
        except FAILURES as exc:
            raise translated(exc) from exc

    async def close(self) -> None:
        self._response.close()


class SyncIo(Io):
    """On ``httpx.Client``. Threads may share it."""

    def __init__(self, client: httpx.Client, timeouts: Timeouts) -> None:
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
                content=body.blocks() if isinstance(body, FileBody) else body,
                extensions={"timeout": request_timeout(request, self._timeouts)},
            )
            response = self._client.send(built, stream=True)
        except FAILURES as exc:
            raise translated(exc) from exc
        head_is_in(request, built, self._timeouts)
        return SyncResponse(response)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  # this coroutine runs without a loop

    async def apart(self, work: Callable[[], T]) -> T:
        return work()

    async def together(
        self, works: Sequence[Coroutine[Any, Any, None]], stop: Callable[[], None]
    ) -> None:
        with ThreadPoolExecutor(len(works), "knowledge-base") as pool:
            under_way = [pool.submit(run, work) for work in works]
            try:
                ended, left = wait(under_way, SIGNALS_S, FIRST_EXCEPTION)
                while left and not any(one.exception() for one in ended):
                    ended, left = wait(under_way, SIGNALS_S, FIRST_EXCEPTION)
            finally:
                # Interrupted or not: where nothing failed, nothing is left to stop.
                stop()
        for one in (*ended, *under_way):
            one.result()

    def lock(self) -> AbstractAsyncContextManager[object]:
        return _ThreadLock()

    async def close(self) -> None:
        self._client.close()


class _ThreadLock(AbstractAsyncContextManager["_ThreadLock"]):
    def __init__(self) -> None:
        self._lock = threading.Lock()

    async def __aenter__(self) -> _ThreadLock:
        self._lock.acquire()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()
