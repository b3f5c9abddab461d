"""A guard stands between us and a program we start, so that the program never outlives us.

``python -I -S guard.py watch GRACE_S -- COMMAND…``
    runs COMMAND in a session of its own. Standard input is one end of a socket pair: the guard
    writes ``{"pid": N}`` and later ``{"exit": code}`` to it, a line each (or ``{"failed": why}``),
    and when the other end closes, because we said stop or because we are dead in whatever way, it
    ends the whole group: SIGTERM, then SIGKILL after GRACE_S seconds.

``python -I -S guard.py sweep DIRECTORY``
    removes DIRECTORY once standard input ends. Every guard holds the writing end of that pipe
    too, so it ends when all of them, and with them their programs, are gone.

The kernel closes a dead process's descriptors however it died, so this also holds for SIGKILL. The
file imports the standard library alone, a little of it, and starts in some 40 ms.
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
    # The reader may be dead; the program is looked after all the same.
    with contextlib.suppress(OSError):
        os.write(0, json.dumps(facts).encode() + b"\n")


def _signal_group(group: int, *signals: int) -> None:
    for number in signals:
        # EPERM is macOS's answer for a group of nothing but zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def _die_with_parent() -> None:
    """On Linux the program also falls when the guard itself is killed."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _wait_without_reaping(child: subprocess.Popen[bytes]) -> None:
    """Returns when the child has ended, as a zombie where that can be had.

    The zombie keeps the group's number from being given to somebody else while it is signalled.
    """
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    else:
        child.wait()


def watch(grace_s: float, command: list[str]) -> int:
    """Runs ``command`` to its end or ours; gives the exit code a shell would."""
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
        # A stopped program gets its SIGTERM only once it goes on.
        _signal_group(child.pid, signal.SIGTERM, signal.SIGCONT)
        if not ended.wait(grace_s):
            _signal_group(child.pid, signal.SIGKILL)

    for job in (listen, end):
        threading.Thread(target=job, daemon=True).start()
    _wait_without_reaping(child)
    ended.set()
    # What is left of the group (a dead server's workers) goes with its leader.
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
    # At once: the threads are daemons and there is nothing to tidy.
    os._exit(main(sys.argv[1:]))
