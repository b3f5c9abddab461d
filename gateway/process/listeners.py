"""The sockets that listen: bound once, by the supervisor, and open for as long as it lives.

Each worker accepts from a socket of its own. The kernel spreads connections over the sockets of one
address by a hash (``SO_REUSEPORT``), evenly whatever the workers are doing; from one shared socket
whoever is idle takes most, and streams are long, so that the skew would stay. A connection that
waits in a socket's queue belongs to no process: when a worker dies, the next one finds it there.

Where the kernel does not spread (it does on Linux), all workers share one socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import select
import socket
import struct
import sys
from collections.abc import Sequence

# Connections the kernel holds while a worker is busy; net.core.somaxconn may allow less.
BACKLOG = 4096
_SPREADS = sys.platform == "linux"
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# Classic BPF over the TCP header, see ``refuse_new``: code, jump if true, if false, value.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # the byte of the flags
    (0x54, 0, 0, 0x12),  # SYN and ACK of it
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then drop it,
    (0x06, 0, 0, 0xFFFFFFFF),  # else let it through
)


class Listeners:
    """One listening socket a worker, or one for all of them; ``of(number)`` is a worker's."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = tuple(sockets)

    @property
    def shared(self) -> bool:
        return len(self._sockets) == 1

    def of(self, worker: int) -> socket.socket:
        return self._sockets[0 if self.shared else worker]

    def keep_only(self, worker: int) -> None:
        """In a worker: a copy kept here would hold another one's socket open after its end."""
        for other in self._sockets:
            if other is not self.of(worker):
                other.close()

    def close_of(self, worker: int) -> None:
        """Lets go of a worker's socket, unless others accept from it."""
        if not self.shared:
            self.of(worker).close()

    def close(self) -> None:
        for listener in self._sockets:
            listener.close()


def bind(host: str, port: int, workers: int) -> Listeners:
    """Listening sockets for ``workers`` workers.

    Raises:
        OSError: as ``check_free``.
    """
    family, address = check_free(host, port)
    spread = _SPREADS and workers > 1
    return Listeners([_listening(family, address, spread) for _ in range(workers if spread else 1)])


def check_free(host: str, port: int) -> tuple[int, object]:
    """The family and address to bind; SO_REUSEPORT alone would let two gateways of one user share
    them without a word.

    Raises:
        OSError: it cannot be bound, or somebody else listens there.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    _bound(family, address, spread=False).close()
    return family, address


def _listening(family: int, address: object, spread: bool) -> socket.socket:
    listener = _bound(family, address, spread=spread)
    listener.listen(BACKLOG)
    return listener


def _bound(family: int, address: object, *, spread: bool) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if spread:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setblocking(False)
        listener.bind(address)  # type: ignore[arg-type]  # what getaddrinfo gave
    except BaseException:
        listener.close()
        raise
    return listener


def anybody_waits(listener: socket.socket) -> bool:
    """Whether a connection stands in the queue, not yet accepted."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


def refuse_new(listener: socket.socket) -> None:
    """No new handshake begins; those under way end, and their connections reach the queue.

    Closing a socket resets what came into its queue since the last look. So the kernel drops each
    SYN first; a client's kernel sends it again after a second, and finds the address closed, which
    is a plain refusal: nothing was sent, anybody may try again elsewhere. Linux only; elsewhere
    this does nothing, and a connection that comes at that very moment is reset.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *op) for op in _DROP_SYN))
    descriptor = struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(program))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)
