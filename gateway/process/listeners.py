"""The listening sockets: the supervisor binds them once and keeps them open until it stops.

Each worker accepts from a socket of its own. The kernel spreads connections over the sockets of one
address by a hash (``SO_REUSEPORT``), evenly whatever the workers are doing. With one shared socket
the worker that is idle at the moment takes most connections, and as streams are long, the uneven
load would stay. A connection in a socket's queue belongs to no process: when a worker dies, its
successor accepts it.

Only Linux spreads connections this way; elsewhere all workers share one socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import select
import socket
import struct
import sys
from collections.abc import Sequence

# Connections the kernel queues while a worker is busy; net.core.somaxconn may allow fewer.
BACKLOG = 4096
_SPREADS = sys.platform == "linux"
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
# Classic BPF over the TCP header, see ``refuse_new``: code, jump if true, if false, value.
_DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the TCP flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # is it SYN without ACK?
    (0x06, 0, 0, 0),  # then drop the packet,
    (0x06, 0, 0, 0xFFFFFFFF),  # else accept all of it
)


class Listeners:
    """One listening socket for each worker, or one for all; ``of(number)`` is that of a worker."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self._sockets = tuple(sockets)

    @property
    def shared(self) -> bool:
        return len(self._sockets) == 1

    def of(self, worker: int) -> socket.socket:
        return self._sockets[0 if self.shared else worker]

    def keep_only(self, worker: int) -> None:
        """In a worker: closes the other sockets, or they would stay open when their workers end."""
        for other in self._sockets:
            if other is not self.of(worker):
                other.close()

    def close_of(self, worker: int) -> None:
        """Closes a worker's socket unless other workers accept from it."""
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


def shown(host: str, port: int) -> str:
    """``host:port`` as in a URL, where an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_free(host: str, port: int) -> tuple[int, object]:
    """The family and address to bind. Without this check SO_REUSEPORT would let two gateways of
    one user share the address without an error.

    Raises:
        OSError: it cannot be bound, or another process listens there.
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


def has_waiting_connection(listener: socket.socket) -> bool:
    """Whether the queue holds a connection that is not accepted yet."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


def refuse_new(listener: socket.socket) -> None:
    """Stops new handshakes; those that have begun are finished and reach the queue.

    Closing a listening socket resets the connections that are in its queue. So we first let the
    kernel drop each SYN. The client's kernel sends its SYN again after a second and then finds the
    port closed: the connection is refused before the client sent anything, so it can safely try
    again elsewhere. Linux only; elsewhere this does nothing, and a connection that arrives in the
    moment of closing is reset.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *op) for op in _DROP_SYN))
    descriptor = struct.pack("@HP", len(_DROP_SYN), ctypes.addressof(program))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, descriptor)
