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
print(*resource.getrlimit(resource.RLIMIT_CORE), flush=True)
print(pathlib.Path("/proc/self/coredump_filter").read_text(), flush=True)
os.abort()
"""


def died(folder: Path, how: str) -> list[str]:
    """What a process said of its limits and its filter before it died."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    process = subprocess.run(
        [sys.executable, "-c", DIES, how],
        cwd=folder,
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)),
    )
    assert process.returncode < 0
    return process.stdout.split()


def core_file(folder: Path) -> bytes | None:
    files = list(folder.glob("core*"))
    return files[0].read_bytes() if files else None


@pytest.mark.skipif(sys.platform != "linux", reason="core(5) is Linux's")
def test_no_core_file_is_written(tmp_path: Path) -> None:
    """However large the limit was that the gateway was started with.

    Where this machine writes no core files at all, what the process was left with still says it.
    """
    soft, hard, mappings = died(tmp_path, "limit")
    assert (soft, hard, int(mappings, 16)) == ("0", "0", 0)
    assert core_file(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="core(5) is Linux's")
def test_a_dump_that_is_written_all_the_same_holds_no_memory(tmp_path: Path) -> None:
    """Beside one of a process without the bolt, where the secret is."""
    bare = tmp_path / "bare"
    bare.mkdir()
    *_, bare_filter = died(bare, "nothing")
    *_, own_filter = died(tmp_path, "filter")
    assert int(bare_filter, 16) > int(own_filter, 16) == 0
    unbolted = core_file(bare)
    if unbolted is None:
        pytest.skip("this machine writes no core files")
    assert CANARY.encode() in unbolted
    assert CANARY.encode() not in (core_file(tmp_path) or b"")
