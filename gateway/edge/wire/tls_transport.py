"""TLS between a connection and the protocol that speaks on it.

What flows which way: the loop's plain transport (``below``) hands on what came, encrypted, and
``data_received`` decrypts it for the protocol above (``app``); what ``app`` writes is encrypted and
given to the kernel at once, as ``client_stream.py`` does without TLS, or to ``below`` while
something waits there. OpenSSL has no I/O of its own here: it reads one buffer and writes another.

The loops have TLS of their own, which the gateway does not use: see
``docs/decisions/0024-tls-transport.md``.

A connection's life: nothing is made before its first byte; then comes the handshake, which has
``handshake_s`` in all; then ``app`` is made and gets its connection. It ends when ``app`` closes
it, or the client does, by ``close_notify`` or by a FIN alone; who breaks TLS' rules gets an alert.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from gateway.edge.wire.layered import Bytes, LayeredTransport
from gateway.edge.wire.water_marks import HIGH_WATER_BYTES

# How long a connection that is closed waits for the client to close its side.
CLOSE_WAIT_S = 2.0
# How much OpenSSL is given, and gives, at once. Its buffers stay as large as their largest content
# for as long as the connection lives, and a client can read a record only when all of it came.
PIECE_BYTES = 4096
# A handshake, and a read up to ``FEW_BYTES``, is given in smaller pieces: most clients never send
# anything larger than a question, and each piece takes 2 µs.
SMALL_PIECE_BYTES = 256
FEW_BYTES = 2048
# The longest text of a record (RFC 8446, 5.1).
RECORD_BYTES = 16 * 1024
# What TLS itself may say (new keys, mostly) to a client that makes it speak and takes nothing.
UNASKED_BYTES = 16 * 1024

_to_kernel = os.write


class TlsTransport(LayeredTransport, asyncio.Protocol):
    """The server's end of one TLS connection: a protocol for ``below``, a transport for ``app``.

    Args:
        make_app: makes the protocol to speak inside of TLS, once there is someone to speak to.
        handshake_s: how long the handshake may take, counted from the connection's acceptance.
    """

    __slots__ = (
        "_app",
        "_context",
        "_descriptor",
        "_handshake_s",
        "_has_left",
        "_incoming",
        "_is_behind",
        "_is_closing",
        "_is_paused",
        "_make_app",
        "_outgoing",
        "_timer",
        "_tls",
        "_unasked_bytes",
        "_unread",
        "_waits",
    )
    _descriptor: int
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _tls: ssl.SSLObject

    # ``asyncio.Transport`` would make a dictionary here, which stays empty.
    def __init__(
        self,
        context: ssl.SSLContext,
        make_app: Callable[[], asyncio.Protocol],
        *,
        handshake_s: float,
    ) -> None:
        # ``None`` once it was used.
        self._context: ssl.SSLContext | None = context
        self._make_app: Callable[[], asyncio.Protocol] | None = make_app
        self._handshake_s = handshake_s
        self._app: asyncio.Protocol | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unread = b""
        self._unasked_bytes = 0
        # No more is sent, and what comes is dropped.
        self._is_closing = False
        # The client will send no more.
        self._has_left = False
        # ``app`` wants nothing more for now.
        self._is_paused = False
        # ``below`` has more to send than it should; it may have something to send.
        self._is_behind = self._waits = False

    # --- sending --------------------------------------------------------------------------------

    def send(self, data: Bytes) -> bool:
        """Encrypts and sends ``data``; false when more waits than should.

        What it does nearly always stands here in a row: each call and each object that it passes
        is to be fetched from memory again after a stream's usual silence.
        """
        if self._is_closing:
            return True  # The client left, and whoever sends is about to hear of it.
        try:
            if len(data) > PIECE_BYTES:
                sealed = self._sealed(memoryview(data))
            else:
                self._tls.write(data)
                sealed = self._outgoing.read()
            if self._waits:
                return self._put(sealed)
            sent = _to_kernel(self._descriptor, sealed)
        except ssl.SSLError:
            self._fail()
            return True
        except OSError:  # full (EAGAIN) or broken: the transport finds out which
            sent = 0
        return sent == len(sealed) or self._queue(sealed[sent:])

    def _sealed(self, data: memoryview) -> bytes:
        sealed = []
        for at in range(0, len(data), PIECE_BYTES):
            self._tls.write(data[at : at + PIECE_BYTES])
            sealed.append(self._outgoing.read())
        return b"".join(sealed)

    def _put(self, sealed: bytes) -> bool:
        """In their order always: a client can decrypt records in no other."""
        if self._waits and self._below.get_write_buffer_size():
            return self._queue(sealed)
        self._waits = False
        try:
            sent = _to_kernel(self._descriptor, sealed)
        except OSError:
            sent = 0
        return sent == len(sealed) or self._queue(sealed[sent:])

    def _queue(self, sealed: bytes) -> bool:
        below = self._below
        self._waits = True
        below.write(sealed)
        return below.get_write_buffer_size() <= HIGH_WATER_BYTES

    def _answer(self) -> None:
        """Sends what TLS itself has to say: its part of the handshake, an alert, new keys."""
        said = self._outgoing.read()
        if not said:
            return
        if self._is_behind:
            self._unasked_bytes += len(said)
            if self._unasked_bytes > UNASKED_BYTES:
                self.abort()
                return
        self._put(said)

    # --- the calls of the transport below ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have asyncio's methods and not its base class.
        self._below = cast(asyncio.Transport, transport)
        self._descriptor = transport.get_extra_info("socket").fileno()
        self._timer = asyncio.get_running_loop().call_later(self._handshake_s, self.abort)

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            if self._timer is not None:
                self._drop(data)
            return
        if self._context is not None:
            self._begin(self._context)
        if self._unread:
            self._unread += data
        else:
            self._feed(data)

    def eof_received(self) -> None:
        """A FIN, which may come with no ``close_notify`` before it: a request tells by itself where
        it ends, so that nothing can be cut off unnoticed."""
        self._client_left()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        app, self._app, self._make_app = self._app, None, None
        if app is not None:
            app.connection_lost(exc)

    def pause_writing(self) -> None:
        self._is_behind = True
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        self._is_behind = False
        self._unasked_bytes = 0
        if self._app is not None:
            self._app.resume_writing()

    # --- receiving ------------------------------------------------------------------------------

    def _begin(self, context: ssl.SSLContext) -> None:
        self._context = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def _feed(self, data: bytes) -> None:
        at, is_large = 0, len(data) > FEW_BYTES
        while at < len(data) and not self._is_closing:
            if self._is_paused:
                self._unread = data[at:]
                return
            size = PIECE_BYTES if is_large and self._app is not None else SMALL_PIECE_BYTES
            self._incoming.write(data[at : at + size])
            at += size
            if self._app is None:
                self._shake_hands()
            if self._app is not None:
                self._take()

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._answer()
        except ssl.SSLError:
            self._fail()
        else:
            self._answer()
            self._meet()

    def _meet(self) -> None:
        """The client is who it has to be: from here on ``app``'s own clocks and caps hold."""
        assert self._timer is not None
        assert self._make_app is not None
        self._timer.cancel()
        self._timer = None
        app, self._make_app = self._make_app(), None
        self._app = app
        app.connection_made(self)

    def _take(self) -> None:
        """Hands on what can be decrypted of what came."""
        try:
            while self._may_take():
                data = self._tls.read(RECORD_BYTES)
                if not data:  # ``close_notify``
                    self._client_left()
                elif self._app is not None:
                    self._app.data_received(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._fail()
        if not self._is_closing:
            self._answer()

    def _may_take(self) -> bool:
        if self._is_paused or self._is_closing:
            return False
        # The exception that tells of nothing to read costs more than these two questions.
        return bool(self._incoming.pending or self._tls.pending())

    def _client_left(self) -> None:
        if self._is_closing:
            return
        self._has_left = True
        if self._app is not None:
            self._app.eof_received()
        self.close()

    def pause_reading(self) -> None:
        self._is_paused = True
        self._below.pause_reading()

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        """What came before the pause goes first; another pause may come meanwhile."""
        if self._is_paused or self._is_closing:
            return
        self._take()
        unread, self._unread = self._unread, b""
        self._feed(unread)
        if self.is_reading():
            self._below.resume_reading()

    def is_reading(self) -> bool:
        return not (self._is_paused or self._is_closing)

    # --- ends -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Says goodbye behind what was written; the client has ``CLOSE_WAIT_S`` to close too.

        Closing at once would make TCP reset the connection when more comes, and the reset may
        overtake the answer on its way to the client (RFC 9112, 9.6).
        """
        if self._is_closing:
            return
        self._is_closing = True
        if self._app is None:
            self._below.abort()
            return
        self._unread = b""
        with suppress(ssl.SSLError):  # of them the one that the client has not said goodbye yet
            self._drop_pending()
            self._tls.unwrap()
            self._has_left = True
        self._say_last()
        if self._has_left:
            self._below.close()
        else:
            self._below.resume_reading()
            self._wait_for_client()

    def _drop_pending(self) -> None:
        """OpenSSL calls it an error when a request stands where the client's goodbye could be."""
        with suppress(ssl.SSLWantReadError):
            while not self._has_left and (self._incoming.pending or self._tls.pending()):
                self._has_left = not self._tls.read(RECORD_BYTES)

    def _drop(self, data: bytes) -> None:
        """What still comes is dropped up to the client's goodbye. No FIN is sent before it: some
        clients lose what they have not read yet when it comes."""
        try:
            for at in range(0, len(data), PIECE_BYTES):
                self._incoming.write(data[at : at + PIECE_BYTES])
                self._drop_pending()
        except ssl.SSLError:
            self._has_left = True
        if self._has_left:
            self._below.close()

    def _wait_for_client(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(CLOSE_WAIT_S, self._end)

    def _end(self) -> None:
        """While the client still takes what was written; ``app`` looks whether it does."""
        if self._below.get_write_buffer_size():
            self._wait_for_client()
        else:
            self._below.close()

    def _fail(self) -> None:
        """Nothing more can be understood, or nothing believed: the alert says which."""
        self._is_closing = True
        self._say_last()
        self._below.close()

    def _say_last(self) -> None:
        if said := self._outgoing.read():
            self._put(said)

    def abort(self) -> None:
        self._is_closing = True
        self._below.abort()

    def is_closing(self) -> bool:
        return self._is_closing or self._below.is_closing()

    # --- all else that a transport can be asked ---------------------------------------------------

    def write(self, data: Bytes) -> None:
        if data:
            self.send(data)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":
            return self._tls.context
        return self._tls if name == "ssl_object" else super().get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._app = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._app is not None
        return self._app
