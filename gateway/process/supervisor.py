"""The process that ``gateway serve`` starts: it forks the workers, watches them and stops them.

It serves nothing and has neither threads nor an event loop: it waits for signals and for messages
of its workers, acts, and waits again. What a worker needs is imported before the first fork, so
that all processes share those pages. The supervisor owns the listening sockets; a worker's
successor accepts from the same one.

    SIGTERM, SIGINT   drain; a second SIGTERM changes nothing, a second SIGINT cuts the drain short
    SIGHUP            every worker reloads secrets, users and policy
    SIGCHLD           a child ended: a worker is replaced; as PID 1, orphans are reaped too
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn

import structlog

from gateway.edge.observe import log_output
from gateway.process.children import (
    NEVER,
    START_ATTEMPTS,
    Child,
    NextStart,
    Stop,
    Timing,
    Watcher,
    WorkerSlot,
    exit_reason,
)
from gateway.process.control_channel import SupervisorMessage, WorkerMessage, pair, receive, send
from gateway.process.listeners import Listeners

log = structlog.get_logger("gateway.supervisor")

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
# A worker's exit status after an exception that nobody caught (sysexits.h: EX_SOFTWARE).
FAILED = 70


class Supervisor:
    """Runs ``workers`` processes until SIGTERM or SIGINT.

    Args:
        work: runs in a worker's process; returns its exit status.
        reload: called at SIGHUP; when it returns false, the workers keep what they have.
        follow: called after each event, so at least with every heartbeat (2 s); must not block or
            raise.
        watchers: see ``Watcher``.
    """

    def __init__(
        self,
        workers: int,
        listeners: Listeners,
        work: Callable[[WorkerSlot], int],
        *,
        reload: Callable[[], bool] = lambda: True,
        follow: Callable[[], None] = lambda: None,
        watchers: Sequence[Watcher] = (),
        timing: Timing | None = None,
    ) -> None:
        self._listeners = listeners
        self._work = work
        self._reload = reload
        self._follow = follow
        self._watchers = tuple(watchers)
        self._timing = timing or Timing()
        self._next_starts = [NextStart(due_at=0.0) for _ in range(workers)]
        self._children: dict[int, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = pair()
        self._stop: Stop | None = None
        self._restarts = 0
        self._status = 0
        self._looked_at = time.monotonic()

    def run(self) -> int:
        """Returns the exit status once the last worker has ended."""
        self._selector.register(self._wake_r, selectors.EVENT_READ)
        with self._signals_taken():
            while self._stop is None or self._children:
                self._start_due()
                self._wait()
                self._reap()
                self._check_heartbeats()
                self._follow()
                log_output.flush()
        self._listeners.close()
        log.info("stopped", status=self._status)
        return self._status

    # --- starting ------------------------------------------------------------------------------

    def _start_due(self) -> None:
        now = time.monotonic()
        for number, start in enumerate(self._next_starts):
            if self._stop is None and start.due_at is not None and start.due_at <= now:
                start.due_at = None
                self._start(number, now)

    def _start(self, number: int, now: float) -> None:
        if threading.active_count() > 1:
            names = [thread.name for thread in threading.enumerate()]
            log.warning("forking with threads: a lock one of them holds stays held", threads=names)
        ours, theirs = pair()
        # Blocked, so that no signal runs the supervisor's handler in the new worker.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            self._become_worker(number, ours, theirs, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._children[pid] = Child(number, pid, ours, started_at=now, last_message_at=now)
        self._selector.register(ours, selectors.EVENT_READ, pid)
        for watcher in self._watchers:
            watcher.worker_started(number, pid, self._restarts)

    def _become_worker(
        self,
        number: int,
        ours: socket.socket,
        theirs: socket.socket,
        mask: set[int | signal.Signals],
    ) -> NoReturn:
        """In the new process: gives up what is the supervisor's, works, and ends the process."""
        status = FAILED
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            # A terminal sends these to the whole group, and only the supervisor acts on them.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._selector.close()
            # A copy of another worker's channel would keep that worker from noticing when the
            # supervisor has ended.
            for end in (
                ours,
                self._wake_r,
                self._wake_w,
                *(c.channel for c in self._children.values()),
            ):
                end.close()
            self._listeners.keep_only(number)
            slot = WorkerSlot(number, self._listeners.of(number), theirs, self._restarts)
            status = self._work(slot)
        except BaseException:
            log.exception("worker failed", worker=number, pid=os.getpid())
        finally:
            with contextlib.suppress(BaseException):
                log_output.finish()
            # Not sys.exit, which would run the exit handlers of the supervisor in the worker.
            os._exit(status)

    # --- waiting -------------------------------------------------------------------------------

    def _wait(self) -> None:
        """Until something happens or is due."""
        due = max(self._looked_at, self._next_due())
        timeout = None if due == NEVER else max(0.0, due - time.monotonic())
        ready = self._selector.select(timeout)
        now = self._looked_at = time.monotonic()
        if now - due > 1.0:
            # This process did not run (a paused machine, a frozen container), and the workers
            # probably did not either: their clocks begin anew. Counted from the last look at the
            # clock, because it may have been stopped anywhere since.
            for child in self._children.values():
                child.last_message_at = now
        for key, _ in ready:
            if key.fileobj is self._wake_r:
                for number in receive(self._wake_r) or b"":
                    self._handle_signal(signal.Signals(number))
            else:
                self._read_messages(self._children[key.data], now)

    def _next_due(self) -> float:
        dues = [child.next_due(self._timing) for child in self._children.values()]
        if self._stop is None:
            dues += [start.due_at for start in self._next_starts if start.due_at is not None]
        else:
            dues.append(self._stop.kill_at)
        return min(dues, default=NEVER)

    @contextlib.contextmanager
    def _signals_taken(self) -> Iterator[None]:
        """Inside, signals only wake the loop, which reads their numbers from the wake-up socket."""
        before = {number: signal.signal(number, lambda *_: None) for number in _SIGNALS}
        wakeup_before = signal.set_wakeup_fd(self._wake_w.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            self._wake_r.close()
            self._wake_w.close()

    def _handle_signal(self, number: signal.Signals) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._on_stop_signal(number)
        elif number is signal.SIGHUP and self._stop is None:
            log.info("reloading", workers=len(self._children))
            if self._reload():
                self._send_to_all(SupervisorMessage.RELOAD)

    # --- stopping ------------------------------------------------------------------------------

    def _on_stop_signal(self, number: signal.Signals) -> None:
        first = self._stop is None
        self._begin_stop(number.name)
        assert self._stop is not None
        if number is signal.SIGINT:
            self._stop.interrupts += 1
            if self._stop.interrupts == 2:
                self._cut_short()
        if not first:
            log.info("already stopping", signal=number.name)

    def _begin_stop(self, why: str) -> None:
        if self._stop is not None:
            return
        self._stop = Stop(kill_at=time.monotonic() + self._timing.stop_s)
        log.info("stopping", reason=why, workers=len(self._children))
        for number in range(len(self._next_starts)):
            if not any(child.number == number for child in self._children.values()):
                self._listeners.close_of(number)
        self._send_to_all(SupervisorMessage.DRAIN)

    def _cut_short(self) -> None:
        log.warning("cutting the drain short", workers=len(self._children))
        self._send_to_all(SupervisorMessage.CUT_SHORT)

    def _send_to_all(self, message: SupervisorMessage) -> None:
        for child in self._children.values():
            send(child.channel, message)

    # --- messages of workers -------------------------------------------------------------------

    def _read_messages(self, child: Child, now: float) -> None:
        messages = receive(child.channel)
        if messages is None:
            # It is ending, or closed its channel: SIGCHLD or a missing heartbeat comes next.
            self._selector.unregister(child.channel)
            return
        child.last_message_at = now
        child.sent_message = True
        if WorkerMessage.READY.value in messages:
            child.ready = True
            self._next_starts[child.number].failed_starts = 0
        if WorkerMessage.ACCEPTS_NO_MORE.value in messages and child.accepts:
            child.accepts = False
            self._on_accepts_no_more(child)

    def _on_accepts_no_more(self, child: Child) -> None:
        """Nobody accepts from its socket now: it is closed, or a successor is started."""
        if self._stop is not None:
            self._listeners.close_of(child.number)
        else:
            self._replace(child.number, 0.0)

    def _check_heartbeats(self) -> None:
        """Judges by the clock of the last wait, which knows whether this process ran."""
        now = self._looked_at
        for child in self._children.values():
            if now < child.next_due(self._timing):
                continue
            if child.aborted_at is None:
                said = "no heartbeat for" if child.sent_message else "no heartbeat since its start,"
                child.reason = f"hung ({said} {now - child.last_message_at:.0f} s)"
                log.error("worker hangs", worker=child.number, pid=child.pid, reason=child.reason)
                child.aborted_at = now
                self._kill(child, signal.SIGABRT)
            else:
                self._kill(child, signal.SIGKILL)
        if self._stop is not None and now >= self._stop.kill_at:
            self._stop.kill_at = NEVER
            self._status = self._status or 1
            for child in self._children.values():
                log.error("worker does not stop", worker=child.number, pid=child.pid)
                self._kill(child, signal.SIGKILL)

    def _kill(self, child: Child, number: signal.Signals) -> None:
        child.killed = number is signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, number)

    # --- workers that ended --------------------------------------------------------------------

    def _reap(self) -> None:
        """Takes the exit status of every ended child; as PID 1 these include other orphans."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._on_end(child, status)

    def _on_end(self, child: Child, status: int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.channel)
        child.channel.close()
        reason = child.reason or exit_reason(status)
        stopped_well = status == 0 and (self._stop is not None or not child.accepts)
        if stopped_well:
            log.info("worker ended", worker=child.number, pid=child.pid)
        else:
            self._restarts += self._stop is None
            log.error(
                "worker died",
                worker=child.number,
                pid=child.pid,
                reason=reason,
                restarts=self._restarts,
            )
        for watcher in self._watchers:
            watcher.worker_died(child.number, child.pid, reason)
        if self._stop is not None:
            self._listeners.close_of(child.number)
            self._status = self._status or (0 if status == 0 else 1)
        elif not child.ready:
            self._on_failed_start(child, reason)
        elif child.accepts:
            lasted = time.monotonic() - child.started_at >= self._timing.lasted_s
            self._replace(child.number, 0.0 if lasted else self._timing.pause_s)

    def _on_failed_start(self, child: Child, reason: str) -> None:
        start = self._next_starts[child.number]
        start.failed_starts += 1
        if start.failed_starts < START_ATTEMPTS:
            self._replace(child.number, self._timing.pause_s)
            return
        log.error(
            "giving up: a worker cannot start",
            worker=child.number,
            attempts=start.failed_starts,
            reason=reason,
            hint="the lines above give the reason; `gateway check --connect` checks what it needs",
        )
        self._status = 1
        served = any(other.ready for other in self._children.values())
        self._begin_stop("a worker cannot start")
        if not served:
            self._cut_short()

    def _replace(self, number: int, in_s: float) -> None:
        """Has a new process started for worker ``number``, ``in_s`` seconds from now."""
        self._next_starts[number].due_at = time.monotonic() + in_s
