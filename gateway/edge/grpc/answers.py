"""An answer as a stream of messages: what the relay hands over is written by a task of its own.

``write`` of grpc waits until the client's window has room, and a relay never waits: so messages
stand here in between, and the core is held while too many do. A client that takes no message for
too long has its call ended, as no last word would reach it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from gateway.edge.grpc.call import Call
from gateway.edge.grpc.events import AskMessages
from gateway.edge.http.event_streams import note
from gateway.edge.scope import now_s
from gateway.edge.wire.client_stream import STALL_LOOK_S, forget_head
from gateway.edge.wire.water_marks import HIGH_WATER_BYTES
from gateway.errors import GatewayError, RequestTimedOut
from gateway.flows.answer_stream import Answer, ignore_failure
from gateway.flows.relay import ClientStalled, Relay
from gateway.flows.ticker import Ticker

# Events that wait are sent together up to this size; a larger one goes alone.
TOGETHER_BYTES = 32 * 1024

Write = Callable[[bytes], Awaitable[None]]


class AskClient:
    """Implements ``flows.relay.Client``; ``write_all`` is for a task beside the relay's."""

    __slots__ = (
        *("_is_whole", "_messages", "_now_s", "_on_room", "_since_s", "_stall_s"),
        *("_waiting", "_waiting_bytes", "_woken"),
    )

    send_framed = None

    def __init__(self, stall_s: float) -> None:
        self._messages = AskMessages()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._woken = asyncio.Event()
        self._on_room: Callable[[], None] | None = None
        self._is_whole = False
        self._now_s = asyncio.get_running_loop().time
        self._stall_s = stall_s
        # Since when the message waits that is being written.
        self._since_s: float | None = None

    @property
    def is_behind(self) -> bool:
        """Whether a message waits that the client has not taken."""
        return bool(self._waiting_bytes)

    # --- what the relay calls -------------------------------------------------------------------

    def send(self, data: bytes) -> bool:
        for message in self._messages.of(data):
            self._put(message)
        return self._waiting_bytes <= HIGH_WATER_BYTES

    def send_usual(self, data: bytes) -> bool | None:
        messages = self._messages.usual(data)
        if messages is None:
            return None
        for message in messages:
            self._put(message)
        return self._waiting_bytes <= HIGH_WATER_BYTES

    def on_room(self, call: Callable[[], None]) -> None:
        self._on_room = call

    def stalled(self, now: float) -> bool:
        return self._since_s is not None and now - self._since_s > self._stall_s

    def _put(self, message: bytes) -> None:
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        self._woken.set()

    # --- towards the client ---------------------------------------------------------------------

    async def write_all(self, write: Write) -> None:
        """Writes what the relay hands over, until ``finish`` says that nothing follows."""
        while True:
            while self._waiting:
                message = self._next()
                self._since_s = self._now_s()
                await write(message)
                self._since_s = None
                self._waiting_bytes -= len(message)
            self._give_room()
            if self._is_whole:
                return
            self._woken.clear()
            await self._woken.wait()

    def _next(self) -> bytes:
        """What waits, as one message: the less a client keeps up, the less its events cost."""
        waiting = self._waiting
        message = waiting.popleft()
        if not waiting:
            return message
        taken, size = [message], len(message)
        while waiting and size + len(waiting[0]) <= TOGETHER_BYTES:
            taken.append(waiting.popleft())
            size += len(taken[-1])
        return b"".join(taken)

    def _give_room(self) -> None:
        call, self._on_room = self._on_room, None
        if call is not None:
            call()

    async def finish(self, writing: asyncio.Task[None]) -> None:
        """Returns when all is written.

        Raises:
            ClientStalled: the client takes nothing.
        """
        self._is_whole = True
        self._woken.set()
        while not writing.done():
            if self.stalled(self._now_s()):
                raise ClientStalled
            await asyncio.wait([writing], timeout=min(STALL_LOOK_S, self._stall_s))


async def relay(call: Call, answer: Answer, ticker: Ticker, stall_s: float) -> None:
    """Writes the events of an entered answer, to its end; ``call.ends_with`` is how it ended badly.

    Raises:
        CoreProtocolError: an event's data is not what the contract says; those before it are told.
    """
    scope = call.scope
    scope.streamed = True
    await call.begin(answer)
    forget_head(call.request)
    call.request.stream = None
    scope.first_byte_s = now_s()
    client = AskClient(stall_s)
    loop = asyncio.get_running_loop()
    writing = loop.create_task(client.write_all(call.context.write), name="grpc-write")
    ignore_failure(writing)
    try:
        await _carry(client, Relay(answer, client, ticker), writing)
        call.ends_with = answer.error
    except ClientStalled:
        scope.stream_end = "client_stalled"
        call.ends_with = RequestTimedOut("The client took none of its messages for too long.")
    except asyncio.CancelledError:
        if client.is_behind:
            # The answer may have ended well; who left before its last messages has left.
            scope.stream_end = "client_left"
        raise
    finally:
        writing.cancel()
        await asyncio.wait([writing])
        note(scope, answer)


async def _carry(client: AskClient, relaying: Relay, writing: asyncio.Task[None]) -> None:
    try:
        await relaying.run()
    except GatewayError:
        # What came before stays true, and is told.
        await client.finish(writing)
        raise
    await client.finish(writing)
