"""What only the memory of a replica has to do well: deaths, standstills, no more room."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.adapters.memory_locks import ByteLocks
from gateway.adapters.memory_state import Buckets, MemoryState, SharedMemory
from gateway.adapters.memory_table import LOCKS, WAYS, SharedTable
from gateway.domain.limits import LEASE_S, Charge, Lease, Penalty, Rate
from gateway.errors import SharedStateUnavailable
from gateway.ports import SharedState
from tests.contract.state.worlds import MovedClock, Process

RATE = Rate(1, 3600.0, 3)
PENALTY = Penalty(0, 10.0, 100.0, 1000.0)
# One bucket for each lock: the smallest table there can be.
SMALL = Buckets(LOCKS, LOCKS, LOCKS)
PATIENT_S = 60.0


class Replica:
    """One memory on a clock of its own."""

    def __init__(self, holders: int = 8, patience_s: float = PATIENT_S) -> None:
        self.clock = MovedClock()
        self.memory = SharedMemory(holders, SMALL)
        self.patience_s = patience_s

    def worker(self) -> MemoryState:
        return MemoryState(self.memory, self.clock, self.patience_s)


async def left(state: SharedState, key: str, rate: Rate = RATE) -> int:
    (outcome,) = await state.peek([Charge(key, rate)])
    return outcome.left + outcome.passed


async def held(state: SharedState, key: str) -> int:
    (outcome,) = await state.peek([], [Lease(key, 99)])
    return 98 - outcome.left


def locked_in_a_process(locks: ByteLocks, number: signal.Signals) -> int:
    """A process that has all locks and sends itself ``number``; gives its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            assert locks.take_all(range(LOCKS))
            os.kill(os.getpid(), number)
        finally:
            os._exit(1)
    os.waitpid(pid, os.WUNTRACED)
    return pid


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


async def a_moment() -> None:
    await asyncio.sleep(0.001)


# --- Deaths ---------------------------------------------------------------------------------------


async def test_the_locks_of_a_killed_worker_are_free_at_once() -> None:
    """The kernel takes them back; nobody waits, and nobody goes on without."""
    replica = Replica()
    state = replica.worker()
    locked_in_a_process(replica.memory.locks, signal.SIGKILL)
    await state.admit([Charge("a", RATE)], [Lease("b", 1)])
    assert await left(state, "a") == 2
    assert replica.memory.unlocked == 0


async def test_the_leases_of_a_killed_worker_are_free_as_soon_as_somebody_is_refused() -> None:
    """All of them at once; those of the living stay."""
    replica = Replica()

    async def work(state: SharedState, tell: Callable[[str], object]) -> None:
        for _ in range(200):
            await state.admit([], [Lease("a", 201)])
        tell("done")
        await asyncio.sleep(PATIENT_S)

    living = replica.worker()
    await living.admit([], [Lease("a", 201)])
    doomed = Process(replica, work)  # type: ignore[arg-type]
    assert doomed.next_line() == "done"
    (refused,) = await living.admit([], [Lease("a", 201)])
    assert not refused.passed
    doomed.kill()
    doomed.rest()
    outcomes = [(await living.admit([], [Lease("a", 201)]))[0] for _ in range(201)]
    assert [outcome.passed for outcome in outcomes] == [True] * 200 + [False]


async def test_a_successor_does_not_inherit_what_a_dead_worker_held() -> None:
    """It may have the same number: what the dead one stored under it counts no more."""
    replica = Replica(holders=1)
    for _ in range(5):
        worker = replica.worker()
        await worker.admit([], [Lease("a", 9), Lease("b", 9)])
        assert (await held(worker, "a"), await held(worker, "b")) == (1, 1)
        worker.close()
        assert await held(worker, "a") == 0


async def test_too_many_workers_are_an_error_and_no_charge() -> None:
    """More than ever live at once: whoever has no number cannot hold a lease."""
    replica = Replica(holders=2)
    workers = [replica.worker() for _ in range(3)]
    for worker in workers[:2]:
        await worker.admit([], [Lease("a", 9)])
    with pytest.raises(SharedStateUnavailable):
        await workers[2].admit([Charge("b", RATE)], [Lease("a", 9)])
    assert await left(workers[2], "b") == 3
    workers[0].close()
    await workers[2].admit([Charge("b", RATE)], [Lease("a", 9)])
    assert await held(workers[1], "a") == 2


class Dies(Exception):
    """In place of a kill."""


class Dying:
    """Memory whose ``lasts``-th store from now on does not happen any more."""

    def __init__(self, memory: Any, life: list[int]) -> None:
        self._memory = memory
        self._life = life

    def __getitem__(self, at: Any) -> Any:
        return self._memory[at]

    def __setitem__(self, at: int, value: Any) -> None:
        if self._life[0] == 0:
            raise Dies
        self._life[0] -= 1
        self._memory[at] = value


def dying(worker: MemoryState, stores: int) -> None:
    """``worker`` dies at its store after the next ``stores``. What it shares is another's too, so
    that it gets tables of its own over the same memory."""
    life = [stores]

    def of_its_own(table: SharedTable) -> SharedTable:
        copy = object.__new__(SharedTable)
        copy.__dict__.update(table.__dict__)
        copy.floats, copy.ints = Dying(table.floats, life), Dying(table.ints, life)  # type: ignore[assignment]
        return copy

    worker._rates, worker._failures = of_its_own(worker._rates), of_its_own(worker._failures)
    worker._leases._table = of_its_own(worker._leases._table)
    worker._tables = (worker._rates, worker._failures, worker._leases._table)


CALLS: dict[str, Callable[[MemoryState], Awaitable[object]]] = {
    "a known key": lambda state: state.admit([Charge("known", RATE)], [Lease("known", 9)]),
    "a new key": lambda state: state.admit([Charge("new", RATE)], [Lease("new", 9)]),
    "a failure": lambda state: state.failed(["known", "new"], PENALTY),
    "a renewal": lambda state: state.renew({"known": 3, "new": 1}),
    "a reset": lambda state: state.reset(["known"]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("is_full", [False, True])
async def test_whatever_was_stored_before_a_death_is_true(
    call: Callable[[MemoryState], Awaitable[object]], is_full: bool
) -> None:
    """After each single store: keys of others have their counts, those of the call the ones from
    before it, from after it, or none; leases of the dead are free; the next one goes on well."""
    stores, died = 0, True
    while died:
        replica = Replica()
        looker, doomed = replica.worker(), replica.worker()
        fixed = [f"fixed {number}" for number in range(WAYS * LOCKS if is_full else 5)]
        for key in fixed:
            await looker.admit([Charge(key, RATE, 3)])
        await looker.admit([Charge("known", RATE)], [Lease("known", 9)])
        await doomed.admit([], [Lease("known", 9)])
        await looker.failed(["known"], PENALTY)
        lost_before = sum([await left(looker, key) == 3 for key in fixed])
        dying(doomed, stores)
        try:
            await call(doomed)
            died = False
        except Dies:
            stores += 1
        doomed.close()
        lost = sum([await left(looker, key) == 3 for key in fixed]) - lost_before
        assert lost <= 1
        assert await left(looker, "known") in (1, 2, 3)
        assert await left(looker, "new") in (2, 3)
        assert (await held(looker, "known"), await held(looker, "new")) in ((1, 0), (0, 0))
        for wait in await looker.wait_s(["known", "new"]):
            assert wait in (0.0, 10.0, 20.0)
        await looker.reset(["known", "new"])
        assert (await looker.admit([Charge("new", RATE)], [Lease("new", 1)]))[0].left == 2
        assert list(await looker.failed(["known"], PENALTY)) == [10.0]
    assert stores > 0


# --- Standstills ----------------------------------------------------------------------------------


async def test_a_worker_that_is_stopped_with_a_lock_stops_nobody_else() -> None:
    """Their event loops go on, and after a while they go on without the lock."""
    replica = Replica(patience_s=0.05)
    state = replica.worker()
    await state.admit([], [Lease("b", 5)])
    pid = locked_in_a_process(replica.memory.locks, signal.SIGSTOP)
    try:
        turns = 0
        asked = asyncio.create_task(state.admit([Charge("a", RATE)]))
        async with asyncio.timeout(PATIENT_S):
            while not asked.done():
                await asyncio.sleep(0)
                turns += 1
        assert (asked.result()[0].passed, replica.memory.unlocked) == (True, 1)
        assert turns > 10
        state.release(["b"])
    finally:
        end(pid)
    async with asyncio.timeout(PATIENT_S):
        while await held(state, "b"):
            await a_moment()
    assert (await left(state, "a"), replica.memory.unlocked) == (2, 1)


async def test_a_call_that_is_cancelled_while_it_waits_counts_nothing() -> None:
    """Its client left."""
    replica = Replica()
    state = replica.worker()
    pid = locked_in_a_process(replica.memory.locks, signal.SIGSTOP)
    try:
        asked = asyncio.create_task(state.admit([Charge("a", RATE)], [Lease("b", 5)]))
        await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    finally:
        end(pid)
    assert (await left(state, "a"), await held(state, "b")) == (3, 0)


# --- No more room ---------------------------------------------------------------------------------


async def test_who_makes_up_many_keys_loses_his_own() -> None:
    """A long limit of somebody else stays; what gives way is what is next to be whole again."""
    replica = Replica()
    state = replica.worker()
    day, minute = Rate(10, 86_400.0, 10), Rate(60, 60.0, 10)
    for _ in range(5):
        await state.admit([Charge("somebody's", day)])
        await state.failed(["somebody's"], Penalty(0, 1.0, 900.0, 86_400.0))
    for number in range(20 * WAYS * LOCKS):
        await state.admit([Charge(f"made up {number}", minute)])
        await state.failed([f"made up {number}"], Penalty(0, 1.0, 900.0, 900.0))
    assert await left(state, "somebody's", day) == 5
    assert list(await state.wait_s(["somebody's"])) == [16.0]
    assert replica.memory.rates.evicted > 18 * WAYS * LOCKS


async def test_what_is_over_makes_room_for_what_is_not() -> None:
    """Nobody's count is lost as long as not too many count at once."""
    replica = Replica()
    state, minute = replica.worker(), Rate(60, 60.0, 10)
    for number in range(20 * WAYS * LOCKS):
        replica.clock.now += 1.0
        await state.admit([Charge(f"key {number}", minute)], [Lease(f"key {number}", 1)])
        state.release([f"key {number}"])
    assert replica.memory.rates.evicted == 0
    assert replica.memory.leases.evicted == 0


async def test_a_lease_that_had_to_make_room_is_made_again_by_a_renewal() -> None:
    """Nothing but its own count is lost meanwhile."""
    replica = Replica()
    state, other = replica.worker(), replica.worker()
    await state.admit([], [Lease("a", 9)])
    replica.clock.now += 1.0
    others = [f"other {number}" for number in range(5 * WAYS * LOCKS)]
    for key in others:
        await other.admit([], [Lease(key, 9)])
    assert await held(other, "a") == 0
    state.release(["a"])
    await state.renew({"a": 1})
    assert await held(other, "a") == 1
    replica.clock.now += LEASE_S
    assert await held(other, "a") == 0


# --- What can be read -----------------------------------------------------------------------------


async def test_no_name_stands_in_the_memory() -> None:
    """Whoever reads it, in a core dump say, learns nobody's name, nor whose bucket is whose."""
    replica = Replica()
    state = replica.worker()
    await state.admit([Charge("login/account/ada", RATE)], [Lease("login/account/ada", 5)])
    await state.failed(["login/account/ada"], PENALTY)
    for table in (replica.memory.rates, replica.memory.failures, replica.memory.leases):
        assert b"ada" not in bytes(table.ints)
    other = SharedMemory(1, SMALL)
    assert MemoryState(other)._digest("a") != state._digest("a")
