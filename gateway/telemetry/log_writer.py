"""Writes log lines to a descriptor that may be full, slow, closed or gone; never blocks nor raises.

A log is a dependency like any other. Somebody's pipe that is not read takes 64 KiB, a disk gets
full, a terminal goes away; none of that may stop an event loop, or the supervisor that replaces
dead workers. So lines wait in a bounded buffer, and are written as far as the descriptor takes them
at once. What does not fit is dropped and counted, and the loss is reported in a line of its own as
soon as lines can be written again.

Not to block must not be asked for on the descriptor that was inherited: the flag belongs to the
open file, which a shell or other programs share, and they would fail. A pipe, a terminal or a
device is therefore opened once more through ``/proc/self/fd``; a socket is sent to with
``MSG_DONTWAIT``. Where neither works the descriptor is polled first, and given no more than a pipe
takes at once.
"""

from __future__ import annotations

import io
import os
import select
import socket
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

# What the kernel takes in one piece on a pipe (pipe(7), PIPE_BUF): processes share one, and a line
# must not end up in the middle of another's.
WHOLE_BYTES = 4096
LIMIT_BYTES = 1024 * 1024

Write = Callable[[bytes], int]


class LogWriter:
    """Lines for ``stream``, in order.

    Attributes:
        dropped_total: lines that did not fit, since the process started.
        loss: makes the line that reports how many were dropped since the last report.
    """

    def __init__(
        self,
        stream: TextIO,
        loss: Callable[[int], str],
        *,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        self.dropped_total = 0
        self._loss = loss
        self._unreported = 0
        self._limit_bytes = limit_bytes
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        # Some threads log too. Never held for long: no write waits.
        self._lock = threading.RLock()
        descriptor = _descriptor_of(stream)
        self._write = _text_write(stream) if descriptor is None else _descriptor_write(descriptor)

    def add(self, line: str) -> None:
        """Takes ``line``, with its line end; ``flush`` writes it."""
        data = line.encode("utf-8", "backslashreplace")
        if self._waiting and self._waiting_bytes + len(data) > self._limit_bytes:
            self.dropped_total += 1
            self._unreported += 1
            return
        self._keep(data)

    def flush(self) -> bool:
        """Writes what the descriptor takes at once; whether nothing waits any more."""
        with self._lock:
            if not self._write_waiting():
                return False
            if self._unreported:
                lost, self._unreported = self._unreported, 0
                self._keep(self._loss(lost).encode("utf-8", "backslashreplace"))
            return self._write_waiting()

    def finish(self, within_s: float) -> None:
        """For the end of a process: gives a slow reader a moment to take the last lines."""
        until = time.monotonic() + within_s
        while not self.flush() and (left_s := until - time.monotonic()) > 0:
            # A full disk is always ready to be written to: looked at again a little later.
            time.sleep(min(0.02, left_s))

    def forget(self) -> None:
        """In a process that was forked: its parent still writes what waits here, and has counted
        what it dropped."""
        self._waiting.clear()
        self._waiting_bytes = self._unreported = self.dropped_total = 0

    def _keep(self, data: bytes) -> None:
        self._waiting.append(data)
        self._waiting_bytes += len(data)

    def _write_waiting(self) -> bool:
        while self._waiting:
            piece = self._next_piece()
            taken = _taken(self._write, piece)
            self._waiting_bytes -= taken
            if taken < len(piece):
                # The rest of a line that was begun goes first, whatever others write in between.
                self._waiting.appendleft(piece[taken:])
                return False
        return True

    def _next_piece(self) -> bytes:
        """Whole lines together, as many as are safe; a longer line alone."""
        piece = [self._waiting.popleft()]
        size = len(piece[0])
        while self._waiting and size + len(self._waiting[0]) <= WHOLE_BYTES:
            piece.append(self._waiting.popleft())
            size += len(piece[-1])
        return b"".join(piece)


class LogStream(io.TextIOBase):
    """What stands in for ``sys.stderr`` while the gateway serves: whoever writes there (a warning,
    a thread's traceback, Python at its end) must not block or fail either.
    """

    def __init__(self, writer: LogWriter, descriptor: int = 2) -> None:
        self._writer = writer
        self._descriptor = descriptor

    def write(self, text: str) -> int:
        if text:
            self._writer.add(text)
            self._writer.flush()
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        self._writer.flush()

    def fileno(self) -> int:
        return self._descriptor


def _descriptor_of(stream: TextIO) -> int | None:
    """``None`` for what is no file: a test's ``StringIO``."""
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _taken(write: Write, data: bytes) -> int:
    """How much was written: nothing of it where that failed, in whatever way."""
    try:
        return write(data)
    except (OSError, ValueError):
        return 0


def _text_write(stream: TextIO) -> Write:
    def write(data: bytes) -> int:
        stream.write(data.decode("utf-8"))
        stream.flush()
        return len(data)

    return write


def _descriptor_write(descriptor: int) -> Write:
    """Takes bytes, gives how many were taken; raises ``OSError`` where none can be."""
    mode = 0
    with suppress(OSError):
        mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        # A file keeps nobody waiting; opened anew it would be written from its start.
        return lambda data: os.write(descriptor, data)
    if stat.S_ISSOCK(mode):
        # A copy, so that the socket object may close what it holds.
        sock = socket.socket(fileno=os.dup(descriptor))
        return lambda data: sock.send(data, socket.MSG_DONTWAIT)
    with suppress(OSError):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        own = os.open(f"/proc/self/fd/{descriptor}", flags)
        return lambda data: os.write(own, data)
    return _polled_write(descriptor)


def _polled_write(descriptor: int) -> Write:
    """Where the file cannot be opened once more (another user's terminal, no ``/proc``)."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)

    def write(data: bytes) -> int:
        if not poll.poll(0):
            return 0
        return os.write(descriptor, data[:WHOLE_BYTES])

    return write
