"""The client's end of an event stream where only Sanic's ``send`` knows how to write to it.

That is a client of HTTP/1.0, whose body is not chunked, and any response whose shape
``client_stream.can_write_below`` does not know.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from sanic.response import BaseHTTPResponse

from gateway.edge.wire.client_stream import Progress


class SentStream:
    """Implements ``flows.relay.Client``; ``carry`` sends, in the task of the request's handler.

    ``send`` of Sanic waits, and a relay never does: what it hands over waits here. After each piece
    the core is held until Sanic has taken it, so that no more than a read stands here.
    """

    __slots__ = ("_on_room", "_pieces", "_progress", "_response", "_woken", "stalled")

    send_framed = None
    send_usual = None

    def __init__(self, response: BaseHTTPResponse, progress: Progress) -> None:
        self._response = response
        self._progress = progress
        self._pieces: deque[bytes] = deque()
        self._woken = asyncio.Event()
        self._on_room: Callable[[], None] | None = None
        self.stalled = progress.stalled

    @property
    def is_behind(self) -> bool:
        """Whether something waits that the client was not sent."""
        return bool(self._pieces)

    def send(self, data: bytes) -> bool:
        self._pieces.append(data)
        self._woken.set()
        return False

    def on_room(self, call: Callable[[], None]) -> None:
        self._on_room = call

    async def carry(self, relaying: asyncio.Task[None]) -> None:
        """Sends what ``relaying`` hands over until it has ended and all is sent.

        Raises:
            ClientStalled: the client takes nothing.
            Exception: what ``relaying`` raised.
        """
        relaying.add_done_callback(lambda _: self._woken.set())
        while not relaying.done():
            await self._woken.wait()
            self._woken.clear()
            await self._send_all()
        await relaying

    async def _send_all(self) -> None:
        while self._pieces:
            await self._progress.room()
            await self._response.send(self._pieces[0])
            self._pieces.popleft()
        call, self._on_room = self._on_room, None
        if call is not None:
            call()
