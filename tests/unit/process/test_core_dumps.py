"""A process that dies of a signal leaves none of its memory behind."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "canary-of-the-core-dump"
PATTERN = Path("/proc/sys/kernel/core_pattern")

DIES = f"""
import os, pathlib, resource, sys
from gateway.process import memory
kept = "".join(reversed("{CANARY[::-1]}"))  # in memory, and not in the program's text
if sys.argv[1] == "limit":
    memory.leave_no_memory_in_core_dumps()
elif sys.argv[1] == "filter":
    # As where the kernel hands dumps to a program: the limit says nothing there.
    memory.resource.setrlimit = lambda *_: None
    memory.leave_no_memory_in_core_dumps()
os.abort()
"""


def dumped(folder: Path, how: str) -> bytes | None:
    """What is in the core file of a process that died, if there is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    died = subprocess.run(
        [sys.executable, "-c", DIES, how],
        cwd=folder,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),
    )
    assert died.returncode < 0
    files = list(folder.glob("core*"))
    return files[0].read_bytes() if files else None


@pytest.mark.skipif(sys.platform != "linux", reason="core(5) is Linux's")
def test_no_core_file_is_written(tmp_path: Path) -> None:
    """However large the limit was that the gateway was started with."""
    assert dumped(tmp_path, "limit") is None


@pytest.mark.skipif(sys.platform != "linux", reason="core(5) is Linux's")
def test_a_dump_that_is_written_all_the_same_holds_no_memory(tmp_path: Path) -> None:
    """Beside one of a process without the bolt, where the secret is."""
    bare = tmp_path / "bare"
    bare.mkdir()
    unbolted = dumped(bare, "nothing")
    if unbolted is None:
        pytest.skip("this machine writes no core files")
    assert CANARY.encode() in unbolted
    kept = dumped(tmp_path, "filter")
    assert CANARY.encode() not in (kept or b"")
