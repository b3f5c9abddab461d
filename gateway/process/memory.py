"""What a process does about its memory: little of it, shared with its forks, none in a core dump.

Glibc's allocator is told to give memory back, because its defaults are for programs with threads to
spare: each thread that allocates would get an arena of its own, of which little is ever returned,
and a worker has some dozen threads (S3, Temporal's core, argon2, the policy) that do next to
nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from pathlib import Path

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

# core(5): which mappings a dump holds.
_CORE_DUMP_FILTER = Path("/proc/self/coredump_filter")

ARENAS = 2
TRIM_THRESHOLD_BYTES = 128 * 1024
MMAP_THRESHOLD_BYTES = 256 * 1024


def keep_small() -> None:
    """Before any thread starts; inherited by forks. Elsewhere than on glibc it does nothing.

    The thresholds are set because glibc raises both, up to 32 MiB, after the first large block
    that is freed: argon2's 19 MiB would then stay with the process.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)
        mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)


def settle() -> None:
    """Right before workers are forked: leaves them as little reason as possible to write here.

    A page somebody writes to is copied, and the collector writes to every object it looks at: it
    shall not look at these again. What the C library holds for nobody goes back.
    """
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def leave_no_memory_in_core_dumps() -> None:
    """For this process and its children: memory holds every secret, and many people's questions.

    Two settings, both inherited by workers. ``RLIMIT_CORE`` 0 stops a dump into a file, but not one
    into a program that the kernel's ``core_pattern`` names; there ``coredump_filter`` 0 leaves out
    every mapping, so that what is dumped has registers and no memory (core(5)). Where there is no
    such filter (macOS) the limit is all. ``PR_SET_DUMPABLE`` would do both and also take
    ``/proc/PID/smaps`` and profilers away from the user who runs the gateway.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        _CORE_DUMP_FILTER.write_text("0")
