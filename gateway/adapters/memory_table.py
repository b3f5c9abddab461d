"""A table in memory that processes share: a key's digest leads to a few numbers with an end.

It has a fixed size. A digest names a bucket of ``WAYS`` entries and a tag that is looked for in it;
where a bucket is full, what ends first makes room. So whoever makes up many keys loses his own
first: they were charged once, and are the nearest to being forgotten.

Whoever reads or writes has the lock of the bucket (``Digest.lock``), and may be killed at any
instruction. Each number is stored in one piece; an entry that makes room loses its tag first, then
its numbers, and gets its new tag last. So what is found is an entry of that key or one that counts
nothing, and nothing has to be repaired.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

WAYS: Final = 16
# How many locks there are. Each bucket is behind one, so a table has a multiple of them.
LOCKS: Final = 64
_CELL_BYTES: Final = 8
_TAGS_BYTES: Final = WAYS * _CELL_BYTES


class Digest(NamedTuple):
    """What a key becomes: nobody who reads the memory finds a name, or chooses a bucket."""

    tag: bytes
    bucket: int
    lock: int


def digest_of(key: str, secret: bytes) -> Digest:
    """Of any text, also one that is no valid Unicode."""
    text = key.encode("utf-8", "surrogatepass")
    found = blake2b(text, digest_size=16, key=secret).digest()
    bucket = int.from_bytes(found[8:], "little")
    return Digest(found[:8], bucket, bucket % LOCKS)


class SharedTable:
    """Entries of an end and ``fields`` more numbers each, in ``buckets`` buckets.

    An entry is known by the place of its tag. Its end, in seconds of a clock that all share, is
    ``floats[place + ENDS]``; its other numbers are at ``place + FIRST`` and at each ``WAYS``-th
    place behind that, in ``floats`` or ``ints`` (the same memory, read one way or the other). What
    is in a bucket stands together, so that a key touches one page of a large table.

    Attributes:
        evicted: how many entries made room before their end, in this process.
    """

    ENDS: Final = WAYS
    FIRST: Final = 2 * WAYS

    def __init__(self, buckets: int, fields: int) -> None:
        self._buckets = buckets
        self._bucket_cells = WAYS * (2 + fields)
        # Anonymous and shared: pages that nobody touched take no memory.
        self._memory = mmap.mmap(-1, buckets * self._bucket_cells * _CELL_BYTES)
        view = memoryview(self._memory)
        self.floats, self.ints = view.cast("d"), view.cast("Q")
        self.evicted = 0

    def find(self, digest: Digest) -> int | None:
        """The place of the key's entry, if it has one."""
        start = self._first(digest) * _CELL_BYTES
        end = start + _TAGS_BYTES
        at = self._memory.find(digest.tag, start, end)
        # Two tags may have the bytes of a third across their border.
        while at >= 0 and at % _CELL_BYTES:
            at = self._memory.find(digest.tag, at + 1, end)
        return at // _CELL_BYTES if at >= 0 else None

    def find_or_make(self, digest: Digest, now: float) -> int:
        """The place of the key's entry; that of a new one, whose numbers are zero."""
        place = self.find(digest)
        return self._make(digest, now) if place is None else place

    def forget(self, digest: Digest) -> None:
        place = self.find(digest)
        if place is not None:
            self._clear(place)

    def _make(self, digest: Digest, now: float) -> int:
        first = self._first(digest)
        ends: Sequence[float] = self.floats[first + WAYS : first + 2 * WAYS].tolist()
        soonest = min(ends)
        place = first + ends.index(soonest)
        self.evicted += soonest > now
        self._clear(place)
        self.ints[place] = int.from_bytes(digest.tag, sys.byteorder)
        return place

    def _clear(self, place: int) -> None:
        for field in range(0, self._bucket_cells, WAYS):
            self.ints[place + field] = 0

    def _first(self, digest: Digest) -> int:
        return digest.bucket % self._buckets * self._bucket_cells
