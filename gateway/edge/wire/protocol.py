"""The wire guard, below Sanic: its connection and its reading of requests, replaced.

Bare Sanic takes heads and bodies that RFC 9112 calls invalid, gives a slow client for ever, and
takes a half-closed connection for a client that left. ``GuardedHttp`` reads by our own rules
instead, and ``GuardedProtocol``, here, keeps the caps and the deadlines of ``connections.py``.

A client that closes its side and waits is answered, but for a question's answer: there it has left
(``client_must_stay``). Under TLS no side can be closed alone, neither by the loops' transports nor
by what peers make of ``close_notify``: there a client that will send no more has left, whatever it
was waiting for, and after a refusal the connection is closed at once instead of lingering,
unless the rest of its body is known to come. The caps and the clocks begin when the handshake is
over.

``guard.py`` puts it in place.
"""

from __future__ import annotations

import asyncio
from typing import Any

from sanic import Request
from sanic.exceptions import BadRequest, RequestCancelled, RequestTimeout, ServiceUnavailable
from sanic.http import Http
from sanic.http.constants import Stage
from sanic.server.protocols.http_protocol import HttpProtocol

from gateway.domain.forwarded import plain_address
from gateway.edge.wire.body_limit import LINGER_BYTES
from gateway.edge.wire.client_stream import Progress
from gateway.edge.wire.connection_info import ConnectionInfo
from gateway.edge.wire.connections import (
    FRESH_S,
    LINGER_S,
    Connections,
    TurnedAway,
    Watched,
    has_unread,
)
from gateway.edge.wire.http1 import AllAnswered, GuardedHttp
from gateway.edge.wire.light_event import LightEvent
from gateway.edge.wire.peer import client_ip
from gateway.edge.wire.water_marks import HIGH_WATER_BYTES, LOW_WATER_BYTES
from gateway.errors import Overloaded

# What a client may send behind a question and find answered after it.
BEHIND_BYTES = 64 * 1024
_NO_STATE: dict[str, Any] = {}


class GuardedProtocol(HttpProtocol):
    """Sanic's connection under the worker's caps and deadlines."""

    HTTP_CLASS = GuardedHttp
    transport: Any
    conn_info: Any
    recv_buffer: Any
    state: Any
    _can_write: Any
    _data_received: Any
    __slots__ = (
        "_address",
        "_connections",
        "_discarded_bytes",
        "_fresh",
        "_must_stay",
        "_place",
        "_progress",
        "_since_s",
        "half_closed",
        "lingering",
    )

    def __init__(self, *, of_worker: Connections, **sanics: Any) -> None:
        """``of_worker`` has all connections of this worker; Sanic brings the other arguments."""
        super().__init__(**sanics)
        # Sanic's count of this connection's requests, which nobody reads: one for all.
        self.state = _NO_STATE
        # In place of Sanic's events, which take 1.5 KiB of each connection.
        self._can_write, self._data_received = LightEvent(is_set=True), LightEvent(is_set=False)
        self._connections = of_worker
        self._since_s = self._connections.now_s
        self._address = ""
        # The address this connection is counted under: its peer's, or behind a proxy that of the
        # client of the present request.
        self._place: str | None = None
        self._fresh = True
        self._discarded_bytes = 0
        # A question is under way.
        self._must_stay = False
        # What the client has taken of the last answer; measured only once the client is late.
        self._progress: Progress | None = None
        self.half_closed = False
        self.lingering = False

    # --- for GuardedHttp, as it goes through the stages of a request ---------------------------

    @property
    def body_limit_bytes(self) -> int:
        return self._connections.limits.body_bytes

    def begin_stage(self) -> None:
        self._since_s = self._connections.now_s

    def request_begins(self, request: Request) -> None:
        """The head is read. Behind a proxy only now it is known whose the request is.

        Raises:
            Overloaded: its address has as many requests under way as one may.
        """
        self._fresh = False
        self.begin_stage()
        if self._place is None and self._connections.trusted:
            address = client_ip(request, self._connections.trusted)
            if address != self._address:
                if not self._connections.take_place(address):
                    raise Overloaded
                self._place = address

    def request_over(self) -> None:
        self._must_stay = False
        self.begin_stage()
        if self._place is not None and self._place != self._address:
            self._give_place()

    def _give_place(self) -> None:
        if self._place is not None:
            self._connections.give_place(self._place)
            self._place = None

    # --- the worker's tick ---------------------------------------------------------------------

    def check_timeouts(self) -> None:
        """Sanic's timer for each connection is not started; ``check`` does its work."""

    def check(self, now_s: float) -> None:
        """Ends the connection when the stage it is in has taken too long."""
        http = self.http
        if self.transport is None:
            return
        if self.transport.is_closing():
            self._end_stalled_close(now_s)
            return
        if http is None:
            return
        waited_s = now_s - self._since_s
        limits = self._connections.limits
        if self.lingering:
            if waited_s > LINGER_S and not self._is_taking(now_s):
                self.close()
        elif http.waits_for_body:
            if waited_s > limits.body_s:
                self._end_late_body(http)
        elif http.stage is Stage.IDLE:
            late = waited_s > (limits.head_s if self._fresh else limits.idle_s)
            if late and not self._is_taking(now_s):
                self.close()
        elif http.stage is Stage.REQUEST:
            if waited_s > limits.head_s:
                self._cancel(http, RequestTimeout("The head took too long"))
        elif now_s - self._time > self.response_timeout:
            self._cancel(http, ServiceUnavailable("Response Timeout"))
        elif http.stage is Stage.HANDLER and self._is_held_up(http, now_s):
            self.transport.abort()

    def _is_taking(self, now_s: float) -> bool:
        """Whether the client still reads its last answer: a close would cut it off."""
        if self.transport.get_write_buffer_size():
            return not self._stands_still(now_s)
        if self._progress is None:
            return False
        # It has all of it now: from here on the same limits hold as for any other connection.
        self._progress = None
        self.begin_stage()
        return True

    def _is_held_up(self, http: Http, now_s: float) -> bool:
        """Whether an answer waits behind one that the client does not take.

        A stream that is about to begin has no response yet, and checks this itself.
        """
        waits = http.response is not None and not self._can_write.is_set()
        return waits and self._stands_still(now_s)

    def _end_stalled_close(self, now_s: float) -> None:
        """A connection is closed when all that waits was sent, and the client may take nothing."""
        if self.transport.get_write_buffer_size() and self._stands_still(now_s):
            self.transport.abort()

    def _stands_still(self, now_s: float) -> bool:
        if self._progress is None:
            self._progress = Progress(self, self._connections.limits.stall_s)
        return self._progress.stands_still(now_s)

    def leave_if_idle(self, now_s: float) -> None:
        """Closes when no request is under way: none begun, and none waiting to be read.

        What the client sends at this very moment meets a closed connection all the same; HTTP
        leaves that race to clients, who may send again (RFC 9112, 9.3.1).
        """
        http = self.http
        transport = self.transport
        if http is None or transport is None or self.lingering:
            return
        if http.stage is not Stage.IDLE or http.request_body or self.recv_buffer:
            return
        if self._fresh and now_s - self._since_s < FRESH_S:
            return
        if not has_unread(transport):
            self.close()

    def _end_late_body(self, http: GuardedHttp) -> None:
        """A 408 where the answer is still to come; a close where it went out before the body."""
        http.give_up_body()
        if http.stage is Stage.HANDLER:
            self._cancel(http, RequestTimeout("The body took too long"))
        else:
            self.close()

    def _cancel(self, http: Http, reason: BaseException) -> None:
        http.exception = reason
        if self._task is not None:
            self._task.cancel()

    # --- the transport's calls -----------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        connections = self._connections
        peer = transport.get_extra_info("peername")
        self._address = plain_address(peer[0]) if isinstance(peer, tuple) else ""
        if connections.full() or not self._take_place():
            transport.set_protocol(TurnedAway(connections, transport))
            return
        connections.add(self)
        # What Sanic does here, but for its ``ConnInfo``.
        transport.set_write_buffer_limits(low=LOW_WATER_BYTES, high=HIGH_WATER_BYTES)
        self.connections.add(self)
        self.transport, self.recv_buffer = transport, bytearray()
        self.conn_info = ConnectionInfo(transport, self._address)
        self._task = self.loop.create_task(self.connection_task(), name="connection")

    def _take_place(self) -> bool:
        if not self._address or self._connections.is_proxy(self._address):
            return True
        if not self._connections.take_place(self._address):
            return False
        self._place = self._address
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._give_place()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.lingering:
            self._discard(len(data))
        elif self._must_stay:
            self._keep_behind(data)
        else:
            super().data_received(data)

    def _discard(self, size: int) -> None:
        self._discarded_bytes += size
        if self._discarded_bytes <= LINGER_BYTES:
            return
        if self._must_stay:
            self.transport.abort()
        else:
            self.close()

    def eof_received(self) -> bool:
        """The client will send no more; while a question is under way that means it is leaving.

        Returns:
            Whether the connection stays open for the answer.
        """
        http = self.http
        transport = self.transport
        if http is None or self.lingering or transport.is_closing():
            return False
        if self._must_stay:
            self._leave(http)
            return False
        # Over TLS no side can be closed alone: a client that will send no more has left.
        if not transport.can_write_eof():
            return False
        if http.stage is Stage.IDLE and not self.recv_buffer and not http.request_body:
            return False
        self.half_closed = True
        self._data_received.set()
        return True

    # --- a question -----------------------------------------------------------------------------

    def client_must_stay(self) -> None:
        """From here to its answer's end, a client that closes its side has left.

        Nothing but reading on shows that: neither the loops nor the kernel tell of a FIN behind
        bytes that nobody reads. So reading is never paused meanwhile, however much the client sends
        behind its question.
        """
        if self.transport is None or self.http is None:
            return  # it is gone, and its handler about to be cancelled
        self._must_stay = True
        if self.half_closed:
            self._leave(self.http)
            return
        self._keep_behind(b"")
        self.transport.resume_reading()

    def _keep_behind(self, data: bytes) -> None:
        """Keeps what comes behind a question, or discards all of it, beyond ``BEHIND_BYTES``.

        Then the connection ends after the answer, and a client sends again what was not answered,
        as with any connection that ends (RFC 9112, 9.3.2).
        """
        buffer = self.recv_buffer
        if not self._discarded_bytes and len(buffer) + len(data) <= BEHIND_BYTES:
            buffer += data
            return
        self.http.keep_alive = False
        size = len(buffer) + len(data)
        buffer.clear()
        self._discard(size)

    def _leave(self, http: Http) -> None:
        """Ends the handler at once, also where earlier answers still wait for the client."""
        self.transport.close()
        self._cancel(http, RequestCancelled())

    async def receive_more(self) -> None:
        """Waits for bytes, unless there will be none any more."""
        if self.half_closed:
            if self.http.stage is Stage.REQUEST and not self.recv_buffer:
                self.http.stage = Stage.IDLE
            if self.http.stage is Stage.IDLE:
                raise AllAnswered
            raise BadRequest("The request is not whole")
        await super().receive_more()

    def hand_over(self, successor: Watched) -> None:
        """The connection speaks another protocol from here on, which ``successor`` speaks.

        It hands back what is still of use here: ``pause_writing``, ``resume_writing`` and, at the
        end, ``connection_lost``, which ends the request that asked for this.
        """
        self._connections.discard(self)
        self._connections.add(successor)
        self.http.upgrade_websocket, self.http.keep_alive = True, False
        self.transport.set_protocol(successor)
        self.transport.resume_reading()

    async def linger(self) -> None:
        """After the last answer: sends no more, and discards for a moment what still comes.

        Closing at once would make TCP reset the connection when more comes, and the reset may
        overtake the answer on its way to the client (RFC 9112, 9.6). Where this side cannot be
        closed alone, or the client's is closed already, the answer's last bytes are still waited
        for: Sanic gives what waits at a close five seconds. So is the rest of a refused body.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        can_close_ours = transport.can_write_eof() and not self.half_closed
        comes = self.http.request_body or self.http.gave_up_body
        still_sends = comes and not self.half_closed
        if not (can_close_ours or still_sends or transport.get_write_buffer_size()):
            return
        self.lingering, self._must_stay = True, False
        self.begin_stage()
        self.recv_buffer.clear()
        if can_close_ours:
            transport.write_eof()
        if not self.half_closed:
            transport.resume_reading()
        await asyncio.Event().wait()
