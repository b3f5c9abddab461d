"""What a program costs, read from ``/proc``: CPU time and memory of all its processes. Linux only.

A program is its first process, everything descended from it, and everything in its session (a
worker whose parent died is still the program's).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Stat:
    pid: int
    parent: int
    session: int
    cpu_ticks: int
    threads: int


@dataclass(frozen=True, slots=True)
class Memory:
    """KiB, all processes together.

    ``pss`` counts a page shared by two as half for each, be the other process ours or a stranger's:
    right on a quiet machine, and jumpy where others start and end the same interpreter.
    """

    rss_kib: int
    pss_kib: int


def cpu_s(pid: int, proc: Path = _PROC) -> float:
    """CPU seconds, user and system, of the program and of its children that have ended."""
    return sum(stat.cpu_ticks for stat in _tree(pid, proc)) / _TICKS_PER_S


def memory(pid: int, proc: Path = _PROC) -> Memory:
    """Memory of the program now."""
    rolls = [_rollup(proc / str(stat.pid) / "smaps_rollup") for stat in _tree(pid, proc)]
    return Memory(
        rss_kib=sum(roll.get("Rss", 0) for roll in rolls),
        pss_kib=sum(roll.get("Pss", 0) for roll in rolls),
    )


def memory_of(pid: int, proc: Path = _PROC) -> Memory:
    """Memory of this one process."""
    roll = _rollup(proc / str(pid) / "smaps_rollup")
    return Memory(rss_kib=roll.get("Rss", 0), pss_kib=roll.get("Pss", 0))


def open_files(pid: int, proc: Path = _PROC) -> int:
    """Descriptors the program's processes hold."""
    total = 0
    for stat in _tree(pid, proc):
        with contextlib.suppress(OSError):
            total += sum(1 for _ in (proc / str(stat.pid) / "fd").iterdir())
    return total


def clients_of_children(pid: int, port: int, proc: Path = _PROC) -> dict[int, int]:
    """Connections that each of the program's own children has on a port; child → how many."""
    ours = _established(port, proc)
    found: dict[int, int] = {}
    for stat in _tree(pid, proc):
        if stat.parent == pid:
            links = _links(proc / str(stat.pid) / "fd")
            found[stat.pid] = sum(1 for link in links if link in ours)
    return found


def _links(folder: Path) -> Iterable[str]:
    """What a process's descriptors are; they are closed while we look."""
    with contextlib.suppress(OSError):
        for descriptor in folder.iterdir():
            with contextlib.suppress(OSError):
                yield os.readlink(descriptor)


def _established(port: int, proc: Path) -> set[str]:
    """The sockets connected to a local port, as a descriptor's link names them (proc(5))."""
    found: set[str] = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (proc / "net" / table).read_text("ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == "01" and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def threads(pid: int, proc: Path = _PROC) -> int:
    """Threads of the program's processes, each one's first included."""
    return sum(stat.threads for stat in _tree(pid, proc))


def processes(pid: int, proc: Path = _PROC) -> int:
    return len(_tree(pid, proc))


def _tree(pid: int, proc: Path) -> list[_Stat]:
    stats = {stat.pid: stat for stat in _all(proc)}
    return [stat for stat in stats.values() if stat.session == pid or _descends(stat, pid, stats)]


def _descends(stat: _Stat, ancestor: int, stats: dict[int, _Stat]) -> bool:
    at: _Stat | None = stat
    seen: set[int] = set()
    while at is not None and at.pid not in seen:
        if at.pid == ancestor:
            return True
        seen.add(at.pid)
        at = stats.get(at.parent)
    return False


def _all(proc: Path) -> Iterable[_Stat]:
    for place in proc.iterdir():
        if place.name.isdigit():
            # Processes end while we look.
            with contextlib.suppress(OSError, ValueError, IndexError):
                yield parse_stat((place / "stat").read_text("utf-8", "replace"))


def parse_stat(text: str) -> _Stat:
    """One line of ``/proc/<pid>/stat`` (proc(5)); the name in it may hold blanks and brackets."""
    name_end = text.rindex(")")
    fields = text[name_end + 2 :].split()
    # utime, stime, and those of children waited for.
    ticks = sum(int(field) for field in fields[11:15])
    return _Stat(
        int(text[: text.index(" ")]), int(fields[1]), int(fields[3]), ticks, int(fields[17])
    )


def _rollup(path: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in path.read_text("utf-8").splitlines()[1:]:
            name, _, rest = line.partition(":")
            with contextlib.suppress(ValueError):
                found[name] = int(rest.split()[0])
    return found
