"""What the supervisor knows about its workers, and when it has to act on one of them."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from typing import Protocol

NEVER = float("inf")
# A worker that ends this often in a row before it is ready makes the supervisor give up.
START_ATTEMPTS = 3


class Watcher(Protocol):
    """Is notified in the supervisor of each start and end of a worker; must not block or raise.

    ``restarts`` counts the replacements since the supervisor started, this one included.
    """

    def worker_started(self, worker: int, pid: int, restarts: int) -> None: ...

    def worker_died(self, worker: int, pid: int, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """A worker's number (from 0), its listening socket and its channel to the supervisor.

    ``restarts`` counts the workers that the supervisor has replaced so far.
    """

    number: int
    listener: socket.socket
    channel: socket.socket
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Times in seconds.

    ``hung_s`` is how long a worker may send no heartbeat, ``start_s`` how long it may take to its
    first one, ``stop_s`` how long it may take to stop.
    """

    hung_s: float = 10.0
    start_s: float = 30.0
    stop_s: float = 35.0
    # A hung worker gets SIGABRT, on which it prints its stack, and SIGKILL this much later.
    abort_s: float = 1.0
    # A worker that ends sooner than ``lasted_s`` after its start is replaced after this pause.
    pause_s: float = 1.0
    lasted_s: float = 10.0


@dataclass(slots=True)
class Child:
    """A worker process as its supervisor knows it. Times are those of ``time.monotonic``."""

    number: int
    pid: int
    channel: socket.socket
    started_at: float
    last_message_at: float
    sent_message: bool = False
    ready: bool = False
    accepts: bool = True
    aborted_at: float | None = None
    killed: bool = False
    reason: str | None = None

    def hung_at(self, timing: Timing) -> float:
        """The time at which it counts as hung unless another message comes."""
        return self.last_message_at + (timing.hung_s if self.sent_message else timing.start_s)

    def next_due(self, timing: Timing) -> float:
        """When the supervisor has to send it the next signal, unless a message comes before."""
        if self.killed:
            return NEVER
        return self.hung_at(timing) if self.aborted_at is None else self.aborted_at + timing.abort_s


@dataclass(slots=True)
class NextStart:
    """When a worker slot is to be started next, and how often in a row starting it failed.

    ``due_at`` is ``None`` while its worker runs.
    """

    due_at: float | None = None
    failed_starts: int = 0


@dataclass(slots=True)
class Stop:
    """A stop in progress: when workers are killed, and how many SIGINTs came."""

    kill_at: float
    interrupts: int = 0


def exit_reason(status: int) -> str:
    """A wait status in words: ``SIGKILL``, ``exit status 3``."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
