"""What a supervisor knows of its workers, and when something about one of them is due."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import dataclass
from typing import Protocol

NEVER = float("inf")
# How often in a row a worker may end before it serves.
START_ATTEMPTS = 3


class Watcher(Protocol):
    """Hears, in the supervisor, how workers come and go: for metrics. Must neither block nor raise.

    ``restarts`` counts the replacements since the supervisor started, this one included.
    """

    def worker_started(self, worker: int, pid: int, restarts: int) -> None: ...

    def worker_died(self, worker: int, pid: int, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """A worker's place: its number (0 …), what it accepts from, and its line to the supervisor."""

    number: int
    listener: socket.socket
    channel: socket.socket
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds. ``stop_s`` is how long a worker may take to stop, ``start_s`` to its first word."""

    hung_s: float = 10.0
    start_s: float = 30.0
    stop_s: float = 35.0
    # A worker that hangs is told to say where (SIGABRT), and killed this much later.
    abort_s: float = 1.0
    # Between two starts of a worker that did not last.
    pause_s: float = 1.0
    lasted_s: float = 10.0


@dataclass(slots=True)
class Child:
    """A worker process, as its supervisor knows it. Times are ``time.monotonic``'s."""

    number: int
    pid: int
    channel: socket.socket
    started_at: float
    heard_at: float
    spoke: bool = False
    ready: bool = False
    accepts: bool = True
    aborted_at: float | None = None
    killed: bool = False
    reason: str | None = None

    def silent_at(self, timing: Timing) -> float:
        """When its silence is too long."""
        return self.heard_at + (timing.hung_s if self.spoke else timing.start_s)

    def next_due(self, timing: Timing) -> float:
        if self.killed:
            return NEVER
        return (
            self.silent_at(timing) if self.aborted_at is None else self.aborted_at + timing.abort_s
        )


@dataclass(slots=True)
class Schedule:
    """What is known of a worker's number across its processes."""

    failed_starts: int = 0
    start_at: float | None = None


@dataclass(slots=True)
class Stop:
    """A stop under way."""

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
