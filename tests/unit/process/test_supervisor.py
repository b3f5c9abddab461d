"""The supervisor alone, in a process of its own, with workers that do what a test says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from gateway.process.children import Child, Timing, exit_reason

PROGRAM = """
import ctypes, os, select, selectors, signal, socket, sys, time
from pathlib import Path
from gateway.edge.observe import log_output
from gateway.process import listeners
from gateway.process.children import Timing
from gateway.process.supervisor import Supervisor
from gateway.process.control_channel import SupervisorMessage, WorkerMessage, receive, send

log_output.configure("info", "json")

def obedient(slot):
    send(slot.channel, WorkerMessage.READY)
    while True:
        select.select([slot.channel], [], [], 0.1)
        messages = receive(slot.channel)
        if messages is None or b"D" in messages:
            return 0
        send(slot.channel, WorkerMessage.ALIVE)

class Printer:
    def worker_started(self, worker, pid, restarts):
        print(f"started {worker} {restarts}", flush=True)
    def worker_died(self, worker, pid, reason):
        print(f"died {worker} {reason}", flush=True)

def follow():
    pass

TIMING = Timing(hung_s=1.0, start_s=5.0, stop_s=2.0, abort_s=0.2, pause_s=0.05)

%s

WORKERS = int(sys.argv[1])
bound = listeners.bind("127.0.0.1", 0, WORKERS)
sys.exit(Supervisor(WORKERS, bound, work, timing=TIMING, watchers=[Printer()], follow=follow).run())
"""


class Running:
    def __init__(self, work: str, workers: int = 1) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM % work, str(workers)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def said(self, line: str) -> None:
        """Waits for a line of the watcher's."""
        assert self.process.stdout is not None
        for heard in self.process.stdout:
            if heard.rstrip() == line:
                return
        raise AssertionError(f"{line!r} was not said: {self.process.communicate()[1]}")

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> tuple[int, list[Any]]:
        """The exit status, and the log."""
        if number is not None:
            self.process.send_signal(number)
        _, log = self.process.communicate(timeout=60)
        return self.process.returncode, [json.loads(line) for line in log.splitlines()]


def events(log: list[Any]) -> list[str]:
    return [line["event"] for line in log]


def test_a_worker_that_ends_is_replaced_and_watchers_are_told() -> None:
    """Whatever it ends with; the count of restarts goes up by one."""
    running = Running("""
def work(slot):
    if slot.restarts == 0:
        send(slot.channel, WorkerMessage.READY)
        os.kill(os.getpid(), signal.SIGSEGV)
    return obedient(slot)
""")
    running.said("died 0 SIGSEGV")
    running.said("started 0 1")
    status, log = running.end()
    assert status == 0
    (died,) = [line for line in log if line["event"] == "worker died"]
    assert (died["reason"], died["restarts"]) == ("SIGSEGV", 1)


def test_a_worker_without_heartbeat_is_ended_with_its_reason() -> None:
    """One that ignores SIGABRT, too."""
    running = Running("""
def work(slot):
    if slot.restarts == 0:
        signal.signal(signal.SIGABRT, signal.SIG_IGN)
        send(slot.channel, WorkerMessage.READY)
        time.sleep(600)
    return obedient(slot)
""")
    running.said("died 0 hung (no heartbeat for 1 s)")
    running.said("started 0 1")
    assert running.end()[0] == 0


def test_each_heartbeat_makes_it_follow_what_future_workers_need() -> None:
    """Otherwise it would wait for the next due time, which may be far away."""
    running = Running("""
def follow():
    print("followed", flush=True)

def work(slot):
    return obedient(slot)
""")
    running.said("started 0 0")
    for _ in range(3):
        running.said("followed")
    assert running.end()[0] == 0


def test_three_failed_starts_end_the_whole() -> None:
    """With a status and a line; a worker that served in between would have reset the count."""
    running = Running("""
def work(slot):
    return 3
""")
    status, log = running.end(None)
    assert status == 1
    assert events(log).count("worker died") == 3
    assert "giving up: a worker cannot start" in events(log)


def test_a_worker_that_does_not_stop_is_killed() -> None:
    """After its time; the status says that it did not end by itself."""
    running = Running("""
def work(slot):
    send(slot.channel, WorkerMessage.READY)
    while True:
        time.sleep(0.1)
        send(slot.channel, WorkerMessage.ALIVE)
""")
    running.said("started 0 0")
    status, log = running.end()
    assert status == 1
    assert "worker does not stop" in events(log)


@pytest.mark.skipif(sys.platform != "linux", reason="each worker has a socket on Linux alone")
def test_a_worker_holds_no_other_ones_listening_socket() -> None:
    """A copy would keep it open after its worker and the supervisor closed it: clients would be
    taken into a queue that nobody accepts from."""
    running = Running(
        """
def is_listening(descriptor):
    try:
        with socket.socket(fileno=os.dup(descriptor)) as found:
            return found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        return False

def work(slot):
    held = [n for n in map(int, os.listdir("/proc/self/fd")) if is_listening(n)]
    if held != [slot.listener.fileno()]:
        return 3
    os.write(1, b"alone\\n")
    return obedient(slot)
""",
        workers=3,
    )
    for _ in range(3):
        running.said("alone")
    assert running.end()[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_orphans_are_reaped() -> None:
    """As process 1 of a container it gets the children of the dead, and leaves no corpse."""
    running = Running("""
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

def work(slot):
    held, let_go = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.close(let_go)
            os.read(held, 1)
        os._exit(0)
    os.wait()
    family = Path(f"/proc/{os.getppid()}/task/{os.getppid()}/children")
    adopted = len(family.read_text().split()) == 2
    os.close(let_go)
    while family.read_text().split() != [str(os.getpid())]:
        time.sleep(0.01)
    print(adopted, flush=True)
    return obedient(slot)
""")
    running.said("True")
    assert running.end()[0] == 0


STANDS_STILL = """
elapsed = time.monotonic
paused_s = 0.0
time.monotonic = lambda: elapsed() + paused_s

def stand_still():
    global paused_s
    paused_s = 60.0

def work(slot):
    send(slot.channel, WorkerMessage.READY)
    select.select([slot.channel], [], [])
    return 0
"""
IN_ITS_WAIT = """
class Selector(selectors.DefaultSelector):
    def select(self, timeout=None):
        ready = super().select(timeout)
        stand_still()
        return ready

selectors.DefaultSelector = Selector

def follow():
    print("went on", flush=True)
"""
BETWEEN_TWO_WAITS = """
def follow():
    if paused_s:
        print("went on", flush=True)
    stand_still()
"""


@pytest.mark.parametrize(
    "where", [IN_ITS_WAIT, BETWEEN_TWO_WAITS], ids=["in its wait", "between two waits"]
)
def test_a_supervisor_that_did_not_run_blames_no_worker(where: str) -> None:
    """After a pause of the whole machine, or of the supervisor, heartbeats are waited for anew.

    The pause is a jump of the supervisor's clock, of twice what a worker may be silent.
    """
    running = Running(f"TIMING = Timing(hung_s=30.0, start_s=30.0)\n{STANDS_STILL}{where}")
    running.said("went on")
    status, log = running.end()
    assert status == 0, log
    assert "worker hangs" not in events(log)


@pytest.mark.parametrize(
    ("status", "reason"), [(9, "SIGKILL"), (3 << 8, "exit status 3"), (0, "exit status 0")]
)
def test_exit_reasons_are_words(status: int, reason: str) -> None:
    """A signal's name, or the status."""
    assert exit_reason(status) == reason


def test_a_worker_may_take_longer_to_its_first_heartbeat() -> None:
    """While it imports and opens its first connections, its event loop does not run."""
    import socket

    with socket.socket() as line:
        child = Child(0, 1, line, started_at=0.0, last_message_at=0.0)
        assert child.next_due(Timing(hung_s=10, start_s=30)) == 30
        child.sent_message = True
        assert child.next_due(Timing(hung_s=10, start_s=30)) == 10
