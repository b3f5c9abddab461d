"""Processes that stand still for a while."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def frozen(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """For the ``with`` block no thread of the child runs.

    SIGSTOP takes effect a moment after it was sent: a thread on another CPU may answer until then.
    """
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)
    try:
        yield
    finally:
        child.send_signal(signal.SIGCONT)
