"""CPU and memory of a program with all its processes, read from ``/proc``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import proc

ROLLUP = "00400000-7ffd ---p 00000000 00:00 0 [rollup]\nRss: {rss} kB\nPss: {pss} kB\n"


def add(root: Path, pid: int, parent: int, session: int, ticks: str = "100 20 3 0") -> None:
    folder = root / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "fd" / "0").touch()
    before = f"S {parent} {pid} {session} 0 -1 0 0 0 0 0"
    (folder / "stat").write_text(f"{pid} (a (b) c) {before} {ticks} 20 0 1 0\n", "utf-8")
    (folder / "smaps_rollup").write_text(ROLLUP.format(rss=100, pss=60), "utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """10 is the program; 11 its child; 12 a grandchild in a session of its own; 13 an orphan."""
    add(tmp_path, 1, 0, 1)
    add(tmp_path, 10, 1, 10)
    add(tmp_path, 11, 10, 10)
    add(tmp_path, 12, 11, 12)
    add(tmp_path, 13, 1, 10)
    add(tmp_path, 20, 1, 20)
    (tmp_path / "meminfo").touch()
    return tmp_path


def test_descendants_and_the_session_are_the_program(root: Path) -> None:
    """Workers count wherever they went; strangers do not."""
    assert proc.processes(10, root) == 4
    assert proc.open_files(10, root) == 4


def test_cpu_is_user_and_system_and_that_of_ended_children(root: Path) -> None:
    """A worker that was replaced has worked all the same."""
    assert proc.cpu_s(10, root) == 4 * 123 / os.sysconf("SC_CLK_TCK")


def test_memory_is_the_sum_over_all_processes(root: Path) -> None:
    """KiB, both ways of counting shared pages."""
    assert proc.memory(10, root) == proc.Memory(rss_kib=400, pss_kib=240)


def test_a_process_that_ends_while_being_read_counts_nothing(root: Path) -> None:
    """Its files are gone between the listing and the reading."""
    (root / "11" / "stat").unlink()
    (root / "13" / "smaps_rollup").unlink()
    assert proc.memory(10, root).rss_kib == 100


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux alone has /proc/<pid>/stat")
def test_a_real_process_is_read() -> None:
    """The fields are where proc(5) says, on this very kernel."""
    code = "sum(range(3_000_000)); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert proc.cpu_s(child.pid) > 0
        assert proc.memory(child.pid).rss_kib > 1000
        assert proc.open_files(child.pid) >= 3
        assert proc.threads(child.pid) == 1
        child.communicate(b"\n")
