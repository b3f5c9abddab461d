"""What the workers of a replica count together, in memory they share: rates, leases, failures.

What flows which way: the supervisor makes ``SharedMemory`` before it forks; in each worker a
``MemoryState`` reads and writes it, on the event loop and on no other thread. A call takes the
locks of its keys (``memory_locks``), decides by the rules of ``domain/limits.py``, stores, and
gives the locks back; nothing in between waits, so they are held for some microseconds. A worker
killed meanwhile loses its locks to the others, and what it had stored by then stays true
(``memory_table``).

A worker that is stopped while it has a lock (SIGSTOP, a frozen process) cannot be told from a slow
one. The others wait for it without holding up their event loops, for ``PATIENCE_S``, and then go on
without the lock: what the stopped one was about to store may then be lost, or count instead.

Times are seconds of the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Final, NamedTuple

from gateway.adapters.memory_holders import Holders
from gateway.adapters.memory_leases import HeldLeases
from gateway.adapters.memory_locks import ByteLocks
from gateway.adapters.memory_table import WAYS, Digest, SharedTable, digest_of
from gateway.domain.limits import Budget, Charge, Counted, Lease, Outcome, Penalty, charged, leased

PATIENCE_S: Final = 0.5
# A lock is given back sooner than the event loop comes round: it is tried a few times at once.
TRIES_AT_ONCE: Final = 5
PAUSE_S: Final = 0.001
# A renewal of more lets others come between.
RENEWED_AT_ONCE: Final = 64
DIGESTS_KEPT: Final = 2048
# The fields of a failure's entry: until when the next attempt waits, and how many there were.
_WAIT: Final = SharedTable.FIRST
_FAILURES: Final = SharedTable.FIRST + WAYS


class Buckets(NamedTuple):
    """How large the tables are; a bucket has ``WAYS`` entries.

    131,072 rates take at most 2 MiB, 65,536 failures 2 MiB, and 65,536 keys of leases 5 MiB for
    eight processes: all of it once, and only once that many keys came.
    """

    rates: int = 8192
    failures: int = 4096
    leases: int = 4096


class SharedMemory:
    """The memory itself. Make it in the process that forks, and keep it there.

    Args:
        holders: how many processes may hold leases at once, those that only end their streams too.

    Attributes:
        unlocked: how often this process went on without a lock, because another one stood still
            with it.
    """

    def __init__(self, holders: int, buckets: Buckets = Buckets()) -> None:  # noqa: B008
        self.secret = os.urandom(32)
        self.locks = ByteLocks()
        self.holders = Holders(holders, self.locks)
        self.rates = SharedTable(buckets.rates, 0)
        self.failures = SharedTable(buckets.failures, 2)
        self.leases = SharedTable(buckets.leases, holders)
        self.unlocked = 0

    def evicted(self) -> dict[str, int]:
        """How many entries of each table made room before their end, for this process."""
        return {
            "rates": self.rates.evicted,
            "failures": self.failures.evicted,
            "leases": self.leases.evicted,
        }


class MemoryState:
    """Implements ``ports.SharedState`` for one worker; ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        memory: SharedMemory,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._memory = memory
        self._locks = memory.locks
        self._rates = memory.rates
        self._failures = memory.failures
        self._tables = (memory.rates, memory.failures, memory.leases)
        self._leases = HeldLeases(memory.leases, memory.holders)
        self._digest = lru_cache(DIGESTS_KEPT)(partial(digest_of, secret=memory.secret))
        # The keys that it may hold leases of: a renewal clears those that it no longer names.
        self._leased: dict[str, Digest] = {}

    # --- rates and leases ----------------------------------------------------------------------

    async def admit(
        self,
        charges: Sequence[Charge],
        leases: Sequence[Lease] = (),
        budgets: Sequence[Budget] = (),
    ) -> Sequence[Outcome]:
        """As the port says; what was spent of ``budgets`` is not known here."""
        digests = self._digests(charges, leases)
        await self._lock(digests)
        try:
            return self._ask(charges, leases, digests, write=True)
        finally:
            self._locks.give_all()

    async def peek(
        self, charges: Sequence[Charge], leases: Sequence[Lease] = ()
    ) -> Sequence[Outcome]:
        digests = self._digests(charges, leases)
        await self._lock(digests)
        try:
            return self._ask(charges, leases, digests, write=False)
        finally:
            self._locks.give_all()

    def _digests(self, charges: Sequence[Charge], leases: Sequence[Lease]) -> Sequence[Digest]:
        digests = [self._digest(charge.key) for charge in charges]
        return digests + [self._digest(lease.key) for lease in leases]

    def _ask(
        self,
        charges: Sequence[Charge],
        leases: Sequence[Lease],
        digests: Sequence[Digest],
        *,
        write: bool,
    ) -> Sequence[Outcome]:
        now = self._clock()
        outcomes: list[Outcome] = []
        counted: dict[bytes, Counted] = {}
        for charge, digest in zip(charges, digests, strict=False):
            before = counted.get(digest.tag) or self._counted(digest)
            outcome, counted[digest.tag] = charged(charge.rate, charge.cost, before, now)
            outcomes.append(outcome)
        more: dict[Digest, int] = {}
        for lease, digest in zip(leases, digests[len(charges) :], strict=True):
            outcomes.append(self._leased_now(lease, digest, more.get(digest, 0), now))
            more[digest] = more.get(digest, 0) + 1
        if write and all(outcome.passed for outcome in outcomes):
            # Leases first: they may find no number for this process, and then nothing is charged.
            for digest, count in more.items():
                self._leases.add(digest, count, now)
            self._leased.update(
                zip([lease.key for lease in leases], digests[len(charges) :], strict=True)
            )
            self._store(digests[: len(charges)], counted, now)
        return outcomes

    def _counted(self, digest: Digest) -> Counted:
        place = self._rates.find(digest)
        return Counted(0.0 if place is None else self._rates.floats[place + SharedTable.ENDS])

    def _store(
        self, digests: Sequence[Digest], counted: Mapping[bytes, Counted], now: float
    ) -> None:
        rates = self._rates
        for digest in digests:
            place = rates.find_or_make(digest, now)
            rates.floats[place + SharedTable.ENDS] = counted[digest.tag].full_at

    def _leased_now(self, lease: Lease, digest: Digest, more: int, now: float) -> Outcome:
        outcome = leased(lease.most, self._leases.held(digest, now) + more)
        if outcome.passed or not self._leases.bury():
            return outcome
        return leased(lease.most, self._leases.held(digest, now) + more)

    def release(self, keys: Sequence[str]) -> None:
        digests = [self._digest(key) for key in keys]
        if not self._lock_at_once(digests):
            # Its leases count for the moment until then, unless the worker ends.
            asyncio.get_running_loop().call_later(PAUSE_S, self.release, keys)
            return
        try:
            now = self._clock()
            for digest in digests:
                self._leases.subtract(digest, now)
        finally:
            self._locks.give_all()

    async def renew(self, held: Mapping[str, int]) -> None:
        """``held`` is looked at as it goes: what changes meanwhile is not overwritten."""
        gone = self._leased.keys() - held.keys()
        for number, key in enumerate((*held, *gone), start=1):
            digest = self._leased.get(key) or self._digest(key)
            if key in gone or not self._leases.prolong(digest, held.get(key, 0), self._clock()):
                await self._put(key, digest, held)
            if number % RENEWED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _put(self, key: str, digest: Digest, held: Mapping[str, int]) -> None:
        await self._lock([digest])
        try:
            count = held.get(key, 0)
            self._leases.put(digest, count, self._clock())
            if count:
                self._leased[key] = digest
            else:
                self._leased.pop(key, None)
        finally:
            self._locks.give_all()

    # --- failures ------------------------------------------------------------------------------

    async def wait_s(self, keys: Sequence[str]) -> Sequence[float]:
        digests = [self._digest(key) for key in keys]
        await self._lock(digests)
        try:
            now = self._clock()
            return [self._wait_s(digest, now) for digest in digests]
        finally:
            self._locks.give_all()

    def _wait_s(self, digest: Digest, now: float) -> float:
        place = self._failures.find(digest)
        return 0.0 if place is None else max(self._failures.floats[place + _WAIT] - now, 0.0)

    async def failed(self, keys: Sequence[str], penalty: Penalty) -> Sequence[float]:
        digests = [self._digest(key) for key in keys]
        await self._lock(digests)
        try:
            now = self._clock()
            return [self._failed(digest, penalty, now) for digest in digests]
        finally:
            self._locks.give_all()

    def _failed(self, digest: Digest, penalty: Penalty, now: float) -> float:
        place, numbers = self._failures.find_or_make(digest, now), self._failures.floats
        over = numbers[place + SharedTable.ENDS] <= now
        failures = 1 if over else int(numbers[place + _FAILURES]) + 1
        delay_s = penalty.delay_s(failures)
        numbers[place + _FAILURES] = failures
        numbers[place + _WAIT] = now + delay_s
        numbers[place + SharedTable.ENDS] = now + max(penalty.memory_s, delay_s)
        return delay_s

    async def forgive(self, keys: Sequence[str]) -> None:
        await self._forget(keys, [self._failures])

    async def reset(self, keys: Sequence[str]) -> None:
        await self._forget(keys, self._tables)

    async def _forget(self, keys: Sequence[str], tables: Iterable[SharedTable]) -> None:
        digests = [self._digest(key) for key in keys]
        await self._lock(digests)
        try:
            for table in tables:
                for digest in digests:
                    table.forget(digest)
        finally:
            self._locks.give_all()

    # --- the memory ----------------------------------------------------------------------------

    async def check(self) -> None:
        """There is nothing that could be down."""

    def close(self) -> None:
        """What this worker holds is free at once."""
        self._leases.give_all()

    async def _lock(self, digests: Sequence[Digest]) -> None:
        if self._lock_at_once(digests):
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        while loop.time() < until:
            await asyncio.sleep(PAUSE_S)
            if self._lock_at_once(digests):
                return
        self._memory.unlocked += 1

    def _lock_at_once(self, digests: Sequence[Digest]) -> bool:
        numbers = {digest.lock for digest in digests}
        # All take them in one order: of those that meet, one gets all of his.
        in_order = sorted(numbers)
        if self._locks.take_all(in_order):
            return True
        return any(self._locks.take_all(in_order) for _ in range(TRIES_AT_ONCE))
