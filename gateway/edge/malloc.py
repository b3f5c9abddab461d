"""Glibc's allocator told to give memory back: its defaults are for programs with threads to spare.

Each thread that allocates would get an arena of its own, of which little is ever returned; a worker
has some dozen threads (S3, Temporal's core, argon2, the policy) that do next to nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

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
