"""Locks between processes that the kernel takes back from one that dies, at whatever instruction.

They are record locks (POSIX, ``fcntl``) on bytes of a file that has no name and no content. A lock
is its process's: it is not inherited by a fork, a second user in the same process is let in, and
it ends with the first descriptor of the file that the process closes, so that the one here is never
closed or given to anybody. Nobody is waited for here: a process may be stopped while it has a lock.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, lockf
from typing import Final

from gateway.errors import SharedStateUnavailable

# Numbers below this are for moments and given back together; those from here on are kept for long.
KEPT_FROM: Final = 4096
_TRY = LOCK_EX | LOCK_NB
_TAKEN = (errno.EACCES, errno.EAGAIN)


class ByteLocks:
    """One lock for each number. Make it before the fork: processes share it by their descriptor."""

    def __init__(self) -> None:
        self._file = _unnamed_file()

    def take_all(self, numbers: Iterable[int]) -> bool:
        """Whether this process has all of them now; else it has none. They are below ``KEPT_FROM``.

        Raises:
            SharedStateUnavailable: the kernel gives no lock to anybody.
        """
        file = self._file
        try:
            for number in numbers:
                lockf(file, _TRY, 1, number)
        except OSError as problem:
            self.give_all()
            if problem.errno in _TAKEN:
                return False
            raise SharedStateUnavailable from problem
        return True

    def give_all(self) -> None:
        """Gives back whatever of them this process has."""
        lockf(self._file, LOCK_UN, KEPT_FROM, 0)

    def keep(self, number: int) -> bool:
        """Whether this process has it now, until ``give`` or its own end; 0 is the first."""
        try:
            lockf(self._file, _TRY, 1, KEPT_FROM + number)
        except OSError as problem:
            if problem.errno in _TAKEN:
                return False
            raise SharedStateUnavailable from problem
        return True

    def give(self, number: int) -> None:
        lockf(self._file, LOCK_UN, 1, KEPT_FROM + number)


def _unnamed_file() -> int:
    """A descriptor, closed in programs that are started from here; it lives as long as we do."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("gateway-locks", os.MFD_CLOEXEC)
    # Elsewhere than on Linux a file that is removed as soon as it is made.
    file, path = tempfile.mkstemp()
    os.unlink(path)
    return file
