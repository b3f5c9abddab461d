"""No memory of ours in a core dump: it holds every secret, and many people's questions.

Two bolts, both inherited by workers. ``RLIMIT_CORE`` 0 stops a dump into a file, but not one into a
program that the kernel's ``core_pattern`` names; there ``coredump_filter`` 0 leaves out every
mapping, so that what is dumped has registers and no memory (core(5)). ``PR_SET_DUMPABLE`` would do
both and also take ``/proc/PID/smaps`` and profilers away from the user who runs the gateway.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

_FILTER = Path("/proc/self/coredump_filter")


def leave_no_memory_in_core_dumps() -> None:
    """For this process and its children. Where there is no such filter (macOS) the limit is all."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        _FILTER.write_text("0")
