"""What a supervisor and its workers say to each other: single bytes over a pair of sockets.

Signals are no way to talk: a terminal's Ctrl-C and a service manager's SIGTERM go to every process
of the group, so a worker could not tell who meant whom. And a closed pair tells each side that the
other one is gone.
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
    """From a worker: its loop turns; it serves; it accepts no more from its socket."""

    ALIVE = b"."
    READY = b"R"
    ACCEPTS_NO_MORE = b"C"


def pair() -> tuple[socket.socket, socket.socket]:
    """The supervisor's end and the worker's; neither ever waits."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send(channel: socket.socket, what: SupervisorMessage | WorkerMessage) -> None:
    """Sends one byte; to nobody when the other side is gone, which each side learns elsewhere."""
    with contextlib.suppress(OSError):
        channel.send(what.value)


def receive(channel: socket.socket) -> bytes | None:
    """All bytes that came; ``None`` when the other side is gone."""
    try:
        return channel.recv(4096) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None
