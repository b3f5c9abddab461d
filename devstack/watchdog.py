"""A watchdog process between us and a program we start, so that the program never outlives us.

``python -I -S watchdog.py watch GRACE_S -- COMMAND…``
    runs COMMAND in a session of its own. Standard input is one end of a socket pair: the watchdog
    writes ``{"pid": N}`` and later ``{"exit": code}`` to it, a line each (or ``{"failed": why}``).
    When the other end closes, because we stop the program or because we are dead, it ends the
    program's whole process group: SIGTERM, then SIGKILL after GRACE_S seconds.

``python -I -S watchdog.py sweep DIRECTORY``
    removes DIRECTORY once standard input ends. Every watchdog holds the writing end of that pipe
    too, so it ends when all watchdogs, and with them their programs, are gone.

The kernel closes a dead process's descriptors however it died, so this also holds for SIGKILL. The
file imports only a little of the standard library, and starts in about 40 ms.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading


def _report(**facts: object) -> None:
    # The reader may be dead; the program is still watched and ended.
    with contextlib.suppress(OSError):
        os.write(0, json.dumps(facts).encode() + b"\n")


def _signal_group(group: int, *signals: int) -> None:
    for number in signals:
        # macOS answers EPERM for a group that has only zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _die_with_parent() -> None:
    """On Linux the kernel also kills the program when the watchdog itself is killed."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _wait_without_reaping(child: subprocess.Popen[bytes]) -> None:
    """Returns when the child has ended, and leaves it as a zombie where the system allows that.

    As long as the zombie exists, the number of its group is given to no other process, so that the
    group can be signalled safely.
    """
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    else:
        child.wait()


def watch(grace_s: float, command: list[str]) -> int:
    """Runs ``command`` until it ends or we do; returns the exit code a shell would."""
    stop = threading.Event()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
    except OSError as exc:
        _report(failed=f"{command[0]}: {exc.strerror}")
        return 127
    _report(pid=child.pid)

    def listen() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        stop.set()

    def end() -> None:
        stop.wait()
        # A program that is stopped (SIGSTOP) handles SIGTERM only after SIGCONT.
        _signal_group(child.pid, signal.SIGTERM, signal.SIGCONT)
        if not ended.wait(grace_s):
            _signal_group(child.pid, signal.SIGKILL)

    for job in (listen, end):
        threading.Thread(target=job, daemon=True).start()
    _wait_without_reaping(child)
    ended.set()
    # The rest of the group (a dead server's workers) is ended with its leader.
    _signal_group(child.pid, signal.SIGKILL)
    code = child.wait()
    _report(exit=code)
    return code if code >= 0 else 128 - code


def sweep(directory: str) -> int:
    """Waits for standard input to end, then removes ``directory``."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    shutil.rmtree(directory, ignore_errors=True)
    return 0


def main(argv: list[str]) -> int:
    """``watch GRACE_S -- COMMAND…`` or ``sweep DIRECTORY``."""
    match argv:
        case ["watch", grace_s, "--", *command]:
            return watch(float(grace_s), command)
        case ["sweep", directory]:
            return sweep(directory)
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    # Ends at once: the threads are daemons and there is nothing to clean up.
    os._exit(main(sys.argv[1:]))
