"""A socket's bytes: frames of a client become messages, and nothing here ever blocks.

It takes over a connection that began with HTTP (``GuardedProtocol.hand_over``), and is what the
transport calls from then on. Frames are read by ``websockets``, which has no I/O of its own; what
goes out is written straight to the transport, so that a socket with many questions costs no task
and no queue for each.

Backpressure both ways: who sends events is told when the client has no room (``send`` is false),
and while what the client makes us answer (pongs, refusals) finds no room, nothing more is read.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol as Frames
from websockets.protocol import Side, State

from gateway.domain import websocket
from gateway.domain.websocket import Close
from gateway.edge.wire.body_limit import LINGER_BYTES
from gateway.edge.wire.client_stream import Progress, reset, sender
from gateway.edge.wire.connections import LINGER_S, Connections
from gateway.edge.wire.protocol import GuardedProtocol

# A question of 8,192 characters, each of them escaped as JSON may (twelve bytes), and its ids.
MESSAGE_LIMIT_BYTES = 128 * 1024
# Of a client that nobody knows yet: a credential, and maybe a first question.
FIRST_LIMIT_BYTES = 16 * 1024
# How many frames a client may send between two ticks: each costs some microseconds, however small.
FRAMES_A_TICK = 2048
# How much of a read is taken at once, so that a read of tiny frames ends at that limit.
SLICE_BYTES = 4096
# How long a client may take to answer a close.
CLOSE_S = 5.0

# The frames' reader logs every closed connection; what is to be said of one is in its access log.
_SILENT = logging.getLogger("gateway.websocket")
_SILENT.setLevel(logging.CRITICAL)


class Listener(Protocol):
    """Who the messages are for."""

    @property
    def is_busy(self) -> bool:
        """Whether a question is open."""

    def received(self, text: bytes) -> None:
        """One message, whole, of text in UTF-8."""

    def check(self, now_s: float) -> None:
        """The worker's tick."""

    def gone(self) -> None:
        """The client left, or was sent away: nothing can be sent to it any more."""


class Connection(asyncio.Protocol):
    """One socket, from its upgrade to its end.

    Attributes:
        progress: what the client takes of what it was sent.
        send: sends bytes of whole frames; false when the client should get no more for now.
        listener: set before the first byte can come.
    """

    __slots__ = (
        "_connections",
        "_ends_at",
        "_frames",
        "_frames_left",
        "_guarded",
        "_heard_s",
        "_is_over",
        "_message",
        "_outcome",
        "_ping_s",
        "_pinged_s",
        "_pong_s",
        "_unread_bytes",
        "gone",
        "listener",
        "progress",
        "send",
    )
    listener: Listener

    def __init__(
        self, guarded: GuardedProtocol, connections: Connections, *, ping_s: float, pong_s: float
    ) -> None:
        """After ``ping_s`` of silence a ping is sent, which is to be answered in ``pong_s``."""
        self._guarded = guarded
        self._connections = connections
        self._frames = Frames(Side.SERVER, max_size=FIRST_LIMIT_BYTES, logger=_SILENT)
        self.progress = Progress(guarded, pong_s)
        self.send = sender(self.progress.transport)
        self.gone = asyncio.get_running_loop().create_future()
        self._ping_s, self._pong_s = ping_s, pong_s
        self._heard_s = connections.now_s
        self._pinged_s: float | None = None
        self._frames_left = FRAMES_A_TICK
        self._message: bytearray | None = None
        # When the transport is aborted, whatever the client does until then.
        self._ends_at: float | None = None
        # A last frame was sent, or none can be: what still comes is dropped.
        self._is_over = False
        self._unread_bytes = 0
        self._outcome: str | None = None

    @property
    def close_code(self) -> int:
        """Of who closed first; 1006 where nobody did (RFC 6455, 7.4.1)."""
        frames = self._frames
        first = frames.close_rcvd if frames.close_rcvd_then_sent else frames.close_sent
        return 1006 if first is None else int(first.code)

    @property
    def outcome(self) -> str:
        """A word for the log: who ended it, or what did."""
        if self._outcome is None:
            return "client_closed" if self._frames.close_rcvd_then_sent else "client_left"
        return self._outcome

    def take_whole_messages(self) -> None:
        """It is known who sends them: from here on they may have their full size."""
        self._frames.max_message_size = MESSAGE_LIMIT_BYTES

    # --- what the transport calls ---------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._heard_s = self._connections.now_s
        for start in range(0, len(data), SLICE_BYTES):
            if self._is_over:
                self._drop(len(data) - start)
                return
            self._take(data[start : start + SLICE_BYTES])
        if not self.progress.can_write.is_set() and not self._is_over:
            # It makes us answer faster than it reads.
            self.progress.transport.pause_reading()
            self.progress.can_write.then(self._read_on)

    def _read_on(self) -> None:
        if not self.progress.transport.is_closing():
            self.progress.transport.resume_reading()

    def _drop(self, size: int) -> None:
        self._unread_bytes += size
        if self._unread_bytes > LINGER_BYTES:
            self.progress.transport.abort()

    def eof_received(self) -> bool:
        """Without a close before it, the client has left: a socket is never half of one."""
        if not self._is_over:
            self._give_up("client_left")
            self.progress.transport.abort()
        return False

    def pause_writing(self) -> None:
        self._guarded.pause_writing()  # type: ignore[no-untyped-call]

    def resume_writing(self) -> None:
        self._guarded.resume_writing()  # type: ignore[no-untyped-call]

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._leave()
        if not self.gone.done():
            self.gone.set_result(None)
        self._guarded.connection_lost(exc)

    # --- frames ---------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        frames = self._frames
        frames.receive_data(data)
        for frame in frames.events_received():
            self._frames_left -= 1
            # Behind our close nothing is a message any more (RFC 6455, 5.5.1).
            if frames.state is State.OPEN:
                self._take_frame(frame)
        if self._frames_left < 0 and frames.state is State.OPEN:
            self.fail(Close(websocket.POLICY_VIOLATION, "TOO_MANY_FRAMES"))
        self._flush()

    def _take_frame(self, frame: Any) -> None:
        assert isinstance(frame, Frame)
        if frame.opcode is Opcode.BINARY:
            self.fail(Close(websocket.UNSUPPORTED_DATA, "messages are text"))
        elif frame.opcode is Opcode.TEXT and frame.fin:
            self._deliver(bytes(frame.data))
        elif frame.opcode is Opcode.TEXT:
            self._message = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._message is not None:
            self._message += frame.data
            if frame.fin:
                whole, self._message = bytes(self._message), None
                self._deliver(whole)

    def _deliver(self, text: bytes) -> None:
        try:
            text.decode()
        except UnicodeDecodeError:
            self.fail(Close(websocket.INVALID_DATA, "messages are UTF-8"))
            return
        self.listener.received(text)

    def _flush(self) -> None:
        """Sends what the frames' reader has to say: pongs, and a close with the end behind it."""
        said = self._frames.data_to_send()
        if not said:
            return
        if not self._is_over and (frames := b"".join(said)):
            self.send(frames)
        # It says nothing where the connection is to end.
        if b"" in said:
            self._end()

    # --- ends -----------------------------------------------------------------------------------

    def close(self, close: Close, outcome: str | None = None) -> None:
        """Says goodbye; the client has ``CLOSE_S`` to do so too."""
        if self._frames.state is not State.OPEN or self._is_over:
            return
        self._outcome = outcome or "closed"
        self._frames.send_close(close.code, close.reason)
        self._ends_at = self._connections.now_s + CLOSE_S
        self._flush()
        self._leave()

    def fail(self, close: Close) -> None:
        """Closes on a client that breaks the rules; what it says then is not read any more."""
        if self._frames.state is State.OPEN and not self._is_over:
            self._outcome = "client_broke_rules"
            self._frames.fail(close.code, close.reason)
            self._flush()

    def abort(self, outcome: str) -> None:
        """Resets the connection: nothing would reach the client any more."""
        self._give_up(outcome)
        reset(self.progress.transport)

    def _give_up(self, outcome: str) -> None:
        self._outcome = self._outcome or outcome
        self._is_over = True
        self._leave()

    def _end(self) -> None:
        """The last frame was sent. Reads on for a moment: see ``GuardedProtocol.linger``."""
        if self._is_over:
            return
        self._is_over = True
        if self._outcome is None and not self._frames.close_rcvd_then_sent:
            self._outcome = "client_broke_rules"
        self._ends_at = self._connections.now_s + LINGER_S
        self._leave()
        transport = self.progress.transport
        if transport.can_write_eof():
            transport.write_eof()
            transport.resume_reading()
        else:
            transport.close()

    def _leave(self) -> None:
        self.listener.gone()

    # --- the worker's tick ----------------------------------------------------------------------

    def check(self, now_s: float) -> None:
        self._frames_left = FRAMES_A_TICK
        if self._ends_at is not None:
            if now_s > self._ends_at and not self._is_taking(now_s):
                self.progress.transport.abort()
            return
        self.listener.check(now_s)
        if self._ends_at is None and not self._is_over:
            self._keep_alive(now_s)

    def _is_taking(self, now_s: float) -> bool:
        """Whether the client still reads what it was sent."""
        return self.progress.is_behind and not self.progress.stands_still(now_s)

    def _keep_alive(self, now_s: float) -> None:
        """Pings a silent client. One that has bytes to read first has the time a stream has."""
        if self.progress.is_behind:
            if self.progress.stands_still(now_s):
                self.abort("client_stalled")
        elif self._pinged_s is None:
            if now_s - self._heard_s >= self._ping_s:
                self._pinged_s = now_s
                self._frames.send_ping(b"")
                self._flush()
        elif self._heard_s >= self._pinged_s:
            self._pinged_s = None
        elif now_s - self._pinged_s > self._pong_s:
            self.abort("pong_late")

    def leave_if_idle(self, now_s: float) -> None:
        """The worker ends: questions under way end first, each with its own last message."""
        if not self.listener.is_busy:
            self.close(Close(websocket.GOING_AWAY, "DRAINING"), "draining")
