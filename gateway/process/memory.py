"""How a process keeps its memory small, shared with its forks, and out of core dumps.

Glibc's allocator is set to return freed memory to the system. By default each thread that allocates
gets an arena of its own, of which little is ever returned, and a worker has about a dozen threads
(S3, Temporal's core, argon2, the policy) that allocate little.
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

# core(5): which memory mappings a core dump contains.
_CORE_DUMP_FILTER = Path("/proc/self/coredump_filter")

# gc.set_threshold: how many more container objects than before make a collection of the youngest,
# and how many of those collections make one of the next generation.
COLLECT_AFTER = (10_000, 20, 50)

ARENAS = 2
TRIM_THRESHOLD_BYTES = 128 * 1024
MMAP_THRESHOLD_BYTES = 256 * 1024


def keep_small() -> None:
    """Sets glibc's allocator; call it before any thread starts. Forks inherit the settings.

    Without glibc this does nothing.

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
    """Call it right before workers are forked, so that they write to few of the shared pages.

    The kernel copies each page that a worker writes to, and the garbage collector writes to every
    object it visits: ``gc.freeze`` excludes the present ones from later collections. Free memory
    that the C library still holds is returned to the system.

    Workers also collect less often than by default (after 700 objects). An open stream keeps a
    hundred or more, so while streams are opened most collections find nothing but live objects:
    they took 7 % of the CPU time of 2,000 openings, and take 4 % now.
    """
    gc.set_threshold(*COLLECT_AFTER)
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def leave_no_memory_in_core_dumps() -> None:
    """For this process and its children, whose memory holds secrets and users' questions.

    There are two settings, and workers inherit both. ``RLIMIT_CORE`` 0 stops a dump into a file,
    but not one into a program that the kernel's ``core_pattern`` names; for that,
    ``coredump_filter`` 0 excludes every mapping, so that the dump has registers and no memory
    (core(5)). Where there is no such filter (macOS), only the limit applies. ``PR_SET_DUMPABLE``
    would do both, but it would also keep the user who runs the gateway from ``/proc/PID/smaps``
    and from profilers.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        _CORE_DUMP_FILTER.write_text("0")
