"""Revocations in memory that the workers of a replica share: what one writes, all read at once.

The board is made before the fork and outlives every worker. It is a row of slots that is filled
from the front again when it is full, and one number, how many were ever written: a reader compares
it with how many it has read, which is all that a request pays for. One process at a time writes,
under a lock that the kernel releases when its process dies. Whoever dies in the middle has not
moved the number yet, so that the next writer takes the same slot. A slot carries its number and a
checksum: a reader that finds another number was too slow, and says so; one that finds another
checksum came too early, and looks again later.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import mmap
import os
import struct
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway.errors import SharedStateUnavailable
from gateway.ports import Deadline, Read

# With 256 bytes each, 2 MiB of address space. Pages nobody wrote to take no memory.
SLOTS: Final = 8192
_SLOT_BYTES: Final = 256
_SLOT: Final = struct.Struct("<QIH")
TEXT_LIMIT_BYTES: Final = _SLOT_BYTES - _SLOT.size
# Numbers before the first slot: of entries written, and the time of the latest read, in ms.
_WRITTEN, _READ_AT = 0, 1
_HEAD_BYTES: Final = 4096
_TRY_AGAIN_S: Final = 0.001


class RevocationBoard:
    """Implements ``ports.Board``. Private to one process unless it is made before a fork."""

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._memory = mmap.mmap(-1, _HEAD_BYTES + slots * _SLOT_BYTES)
        self._numbers = memoryview(self._memory)[:_HEAD_BYTES].cast("Q")
        self._lock = _nameless_file()
        weakref.finalize(self, os.close, self._lock)

    @property
    def written(self) -> int:
        return self._numbers[_WRITTEN]

    @property
    def store_read_at(self) -> float:
        return self._numbers[_READ_AT] / 1000

    @store_read_at.setter
    def store_read_at(self, monotonic_s: float) -> None:
        self._numbers[_READ_AT] = int(monotonic_s * 1000)

    async def write(self, text: str, deadline: Deadline) -> None:
        """Raises ``SharedStateUnavailable`` when another process holds the lock for that long."""
        content = text.encode("ascii")
        if len(content) > TEXT_LIMIT_BYTES:
            raise ValueError(f"{len(content)} bytes do not fit into a slot")
        while not self._write(content):
            # Another worker is at it, for some microseconds; the loop never waits for it.
            if asyncio.get_running_loop().time() >= deadline:
                raise SharedStateUnavailable
            await asyncio.sleep(_TRY_AGAIN_S)

    def _write(self, content: bytes) -> bool:
        with self._locked() as locked:
            if locked:
                number = self._numbers[_WRITTEN] + 1
                head = _SLOT.pack(number, zlib.crc32(content), len(content))
                at = self._place(number)
                self._memory[at : at + _SLOT.size + len(content)] = head + content
                self._numbers[_WRITTEN] = number
            return locked

    def read(self, since: int) -> Read:
        written = self.written
        texts: list[str] = []
        missed = written - since > self._slots
        at = max(since, written - self._slots)
        while at < written:
            number, text = self._entry(at + 1)
            if number > at + 1:  # overwritten: this one, and whatever was before it
                missed, at = True, max(at + 1, self.written - self._slots)
                continue
            if text is None:
                break
            texts.append(text)
            at += 1
        return Read(texts, at, missed)

    def _entry(self, number: int) -> tuple[int, str | None]:
        """What the slot of entry ``number`` holds, and the text where that is whole."""
        at = self._place(number)
        slot = self._memory[at : at + _SLOT_BYTES]
        found, checksum, length = _SLOT.unpack_from(slot)
        content = slot[_SLOT.size : _SLOT.size + length]
        whole = found == number and zlib.crc32(content) == checksum
        return found, content.decode("ascii") if whole else None

    def _place(self, number: int) -> int:
        return _HEAD_BYTES + (number - 1) % self._slots * _SLOT_BYTES

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Whether this process has the lock inside the block."""
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            if exc.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


def _nameless_file() -> int:
    """The descriptor of a file that nothing is ever written to."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("revocations")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
