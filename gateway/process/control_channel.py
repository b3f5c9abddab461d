"""The messages between the supervisor and its workers: single bytes over a pair of sockets.

Signals do not serve for this: a terminal's Ctrl-C and a service manager's SIGTERM go to every
process of the group, so a worker could not know whether the supervisor sent them. When one side
ends, the kernel closes its socket, and the other side learns of it.
"""

from __future__ import annotations

import contextlib
import socket
from enum import Enum


class SupervisorMessage(bytes, Enum):
    """From the supervisor."""

    DRAIN = b"D"
    CUT_SHORT = b"X"
    RELOAD = b"H"


class WorkerMessage(bytes, Enum):
    """From a worker: its event loop runs; it serves; it has stopped accepting connections."""

    ALIVE = b"."
    READY = b"R"
    ACCEPTS_NO_MORE = b"C"


def pair() -> tuple[socket.socket, socket.socket]:
    """The supervisor's end and the worker's, both non-blocking."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send(channel: socket.socket, message: SupervisorMessage | WorkerMessage) -> None:
    """Sends one message. Does nothing when the other side is gone: ``receive`` reports that."""
    with contextlib.suppress(OSError):
        channel.send(message.value)


def receive(channel: socket.socket) -> bytes | None:
    """All bytes that have arrived, maybe none; ``None`` when the other side is gone."""
    try:
        return channel.recv(4096) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None
