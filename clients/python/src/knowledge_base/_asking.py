"""An answer as it is told: one event after the other, until it has ended."""

from __future__ import annotations

from collections import deque

from knowledge_base._answers import AnswerReader, Collected, StreamLimits
from knowledge_base._core import Core
from knowledge_base._io import Response
from knowledge_base._requests import Request
from knowledge_base.errors import (
    AnswerIncomplete,
    ConnectionBroken,
    KnowledgeBaseError,
    ProtocolError,
)
from knowledge_base.events import Event


class Asking:
    """The question goes out with the first ``next`` or ``open``. Once its answer has begun it is
    never sent again: a second answer is another one, and costs again.
    """

    def __init__(self, core: Core, request: Request, limits: StreamLimits) -> None:
        self.collected = Collected()
        self._core = core
        self._request = request
        self._limits = limits
        self._response: Response | None = None
        self._reader: AnswerReader | None = None
        self._waiting: deque[Event | KnowledgeBaseError] = deque()
        self._is_over = False

    @property
    def request_id(self) -> str | None:
        """Once the answer has begun."""
        return self._response.headers.get("x-request-id") if self._response else None

    async def open(self) -> None:
        """Until the answer's head is in. Raises what ``Core.call`` does."""
        if self._response is not None or self._is_over:
            return
        try:
            response = await self._core.open(self._request)
        except BaseException:
            self._is_over = True
            raise
        self._response = response
        content_type = response.headers.get("content-type", "")
        if not content_type.lower().startswith("text/event-stream"):
            await self.close()
            raise ProtocolError("The answer is no event stream.")
        idle_s = self._core.timeouts.idle
        self._reader = AnswerReader(self._limits, idle_s, self._core.now())

    async def next(self) -> Event | None:
        """The next event; ``None`` behind ``Done``, and once this was closed.

        Raises:
            ApiError: what ended the answer instead of ``Done``.
            AnswerIncomplete: the connection ended before the answer did.
            TimedOut, ProtocolError: it was silent for too long, or makes no sense.
        """
        try:
            await self.open()
            if self._is_over:
                return None
            found = await self._told()
        except BaseException:
            await self.close()
            raise
        if found is None:
            await self.close()
            return None
        self.collected.take(found)
        return found

    async def _told(self) -> Event | None:
        assert self._response is not None
        assert self._reader is not None
        while not self._waiting:
            data = await self._read(self._response, self._reader)
            if not data:
                self._reader.finish()
                return None
            self._waiting.extend(self._reader.feed(data, self._core.now()))
        first = self._waiting.popleft()
        if isinstance(first, KnowledgeBaseError):
            raise first
        return first

    async def _read(self, response: Response, reader: AnswerReader) -> bytes:
        """What breaks behind the ending breaks nothing."""
        try:
            return await response.read()
        except KnowledgeBaseError as exc:
            if reader.ended:
                return b""
            if isinstance(exc, ConnectionBroken):
                raise AnswerIncomplete(f"The answer stopped without an ending: {exc}") from exc
            raise

    async def close(self) -> None:
        """Ends the connection, unless the answer was read to its end: the server stops answering.

        May be repeated, and called at any time.
        """
        self._is_over = True
        self._waiting.clear()
        if self._response is not None:
            await self._response.close()
