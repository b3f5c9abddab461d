"""One suite for whatever workers count together in: the memory of a replica, and a real Redis.

Rates here are slow (one an hour) where the clock cannot be moved, so that nothing comes back while
a test runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest

from gateway.domain.limits import LEASE_S, Charge, Lease, Outcome, Penalty, Rate
from gateway.ports import SharedState
from tests.contract.state.worlds import MovedClock, Process, World

SLOW = Rate(1, 3600.0, 3)
PENALTY = Penalty(free=2, first_s=1000.0, longest_s=3000.0, memory_s=86_400.0)
# Whoever may be there: an empty text, spaces, any letter, what is no letter, no end.
KEYS = (
    "",
    " ",
    "a\r\nb",
    "query:run/subject/acme/ada",
    "käse 🧀",
    "\x00",
    "\ud800",
    "~",
    "x" * 100_000,
)

Worker = Callable[[], SharedState]


def passed(outcomes: Sequence[Outcome]) -> list[bool]:
    return [outcome.passed for outcome in outcomes]


async def left(state: SharedState, key: str, rate: Rate = SLOW) -> int:
    """How many more would pass."""
    (outcome,) = await state.peek([Charge(key, rate)])
    return outcome.left + 1 if outcome.passed else 0


async def held(state: SharedState, key: str, most: int = 1000) -> int:
    (outcome,) = await state.peek([], [Lease(key, most)])
    return most - outcome.left - 1


# --- Rates ----------------------------------------------------------------------------------------


async def test_a_burst_passes_and_no_more(worker: Worker) -> None:
    """Whichever worker asks: they count together."""
    one, other = worker(), worker()
    outcomes = [
        (await state.admit([Charge("a", SLOW)]))[0] for state in (one, other, one, other, one)
    ]
    assert passed(outcomes) == [True, True, True, False, False]
    assert [outcome.left for outcome in outcomes] == [2, 1, 0, 0, 0]
    assert outcomes[0].reset_s == pytest.approx(3600.0, abs=60.0)
    assert outcomes[3].retry_after_s == pytest.approx(3600.0, abs=60.0)
    assert outcomes[3].reset_s == pytest.approx(3 * 3600.0, abs=60.0)


async def test_nothing_is_charged_unless_all_pass(worker: Worker) -> None:
    """Neither of the rates nor of the leases, wherever the refused one stands."""
    state = worker()
    await state.admit([Charge("full", SLOW, 3)], [Lease("full", 1)])
    for charges, leases in (
        ([Charge("a", SLOW), Charge("full", SLOW)], [Lease("b", 1)]),
        ([Charge("full", SLOW), Charge("a", SLOW)], [Lease("b", 1)]),
        ([Charge("a", SLOW)], [Lease("b", 1), Lease("full", 1)]),
        ([Charge("a", SLOW)], [Lease("full", 1), Lease("b", 1)]),
    ):
        outcomes = await state.admit(charges, leases)
        assert sorted(passed(outcomes)) == [False, *[True] * (len(outcomes) - 1)]
    assert await left(state, "a") == 3
    assert await held(state, "b") == 0
    assert passed(await state.admit([Charge("a", SLOW, 3)], [Lease("b", 1)])) == [True, True]


async def test_a_cost_counts_as_often(worker: Worker) -> None:
    """One above the burst will never pass, and says so."""
    state = worker()
    assert (await state.admit([Charge("a", SLOW, 4)]))[0].retry_after_s == math.inf
    assert (await state.admit([Charge("a", SLOW, 2)]))[0].left == 1
    assert passed(await state.admit([Charge("a", SLOW, 2)])) == [False]
    assert passed(await state.admit([Charge("a", SLOW, 1)])) == [True]


async def test_a_key_named_twice_is_charged_twice(worker: Worker) -> None:
    """Two limits may name the same key; the same holds for leases."""
    state = worker()
    both = await state.admit([Charge("a", SLOW), Charge("a", SLOW)], [Lease("b", 2)] * 2)
    assert [outcome.left for outcome in both] == [2, 1, 1, 0]
    assert passed(await state.admit([Charge("a", SLOW), Charge("a", SLOW)])) == [True, False]
    assert passed(await state.admit([], [Lease("b", 3)] * 2)) == [True, False]
    assert await left(state, "a") == 1
    assert await held(state, "b") == 2


async def test_a_look_changes_nothing(worker: Worker) -> None:
    """However often somebody looks."""
    state = worker()
    for _ in range(10):
        found = await state.peek([Charge("a", SLOW)], [Lease("b", 1)])
        assert found == [Outcome(True, 2, 0.0, pytest.approx(3600.0)), Outcome(True, 0, 0.0, 0.0)]


async def test_nothing_asked_is_nothing_answered(worker: Worker) -> None:
    assert list(await worker().admit([])) == []


async def test_the_rate_comes_back_with_time(clocked: World, clock: MovedClock) -> None:
    """One an interval, never more than the burst at once."""
    state, rate = clocked.worker(), Rate(2, 60.0, 4)
    assert passed([(await state.admit([Charge("a", rate)]))[0] for _ in range(5)]).count(True) == 4
    clock.now += 29.9
    assert passed(await state.admit([Charge("a", rate)])) == [False]
    clock.now += 0.1
    assert passed(await state.admit([Charge("a", rate)])) == [True]
    assert passed(await state.admit([Charge("a", rate)])) == [False]
    clock.now += 100_000.0
    assert passed([(await state.admit([Charge("a", rate)]))[0] for _ in range(6)]).count(True) == 4


# --- Leases ---------------------------------------------------------------------------------------


async def test_as_many_streams_as_may_are_open_at_once(worker: Worker) -> None:
    """Those of all workers count, and one that ends makes room at once."""
    one, other = worker(), worker()
    assert passed(await one.admit([], [Lease("a", 2)])) == [True]
    assert passed(await other.admit([], [Lease("a", 2)])) == [True]
    (refused,) = await one.admit([], [Lease("a", 2)])
    assert (refused.passed, refused.left) == (False, 0)
    assert 0.0 < refused.retry_after_s <= LEASE_S
    one.release(["a"])
    assert passed(await one.admit([], [Lease("a", 2)])) == [True]
    assert passed(await other.admit([], [Lease("a", 2)])) == [False]


async def test_where_none_may_be_open_it_is_never(worker: Worker) -> None:
    (refused,) = await worker().admit([], [Lease("a", 0)])
    assert (refused.passed, refused.retry_after_s) == (False, math.inf)


async def test_a_worker_gives_back_its_own_only(worker: Worker) -> None:
    """Once too often changes nothing, neither its own count nor that of others."""
    one, other = worker(), worker()
    await other.admit([], [Lease("a", 5)])
    await one.admit([], [Lease("a", 5)])
    for _ in range(3):
        one.release(["a", "unknown"])
    assert await held(one, "a") == 1
    assert await held(one, "unknown") == 0
    await one.admit([], [Lease("a", 5)])
    assert await held(other, "a") == 2


async def test_one_of_each_key_is_given_back_as_often_as_it_is_named(worker: Worker) -> None:
    state = worker()
    for _ in range(3):
        await state.admit([], [Lease("a", 5), Lease("b", 5)])
    state.release(["a", "b", "a"])
    assert (await held(state, "a"), await held(state, "b")) == (1, 2)


async def test_a_renewal_says_how_many_whatever_was_known(worker: Worker) -> None:
    """It makes a lost lease again, and takes away what is held no longer."""
    one, other = worker(), worker()
    await one.admit([], [Lease("a", 5)])
    await one.admit([], [Lease("b", 5)])
    await other.admit([], [Lease("a", 5)])
    await one.reset(["a"])
    assert await held(one, "a") == 0
    await one.renew({"a": 3, "b": 0, "c": 1})
    assert [await held(other, key) for key in "abc"] == [3, 0, 1]
    await other.renew({"a": 1})
    assert await held(one, "a") == 4
    await one.renew({"a": 0, "c": 0})
    assert [await held(one, key) for key in "abc"] == [1, 0, 0]


async def test_a_lease_that_is_not_renewed_is_free(clocked: World, clock: MovedClock) -> None:
    """Its worker stands still. One that is renewed stays, for hours."""
    one, other = clocked.worker(), clocked.worker()
    await one.admit([], [Lease("a", 1)])
    for _ in range(1000):
        clock.now += LEASE_S - 0.1
        assert passed(await other.admit([], [Lease("a", 1)])) == [False]
        await one.renew({"a": 1})
    clock.now += LEASE_S
    assert passed(await other.admit([], [Lease("a", 1)])) == [True]


async def test_what_a_worker_holds_ends_with_it(world: World, worker: Worker) -> None:
    """In good order: all its streams have ended."""
    one, other = world.worker(), worker()
    await one.admit([], [Lease("a", 5)])
    one.release(["a"])
    await held(one, "a")
    await world.close(one)
    assert await held(other, "a") == 0


async def test_thousands_of_leases_are_renewed_in_one_call(worker: Worker) -> None:
    """All of them, and each as often as it is held."""
    one, other = worker(), worker()
    held_now = {f"streams/subject/{number}": 1 + number % 3 for number in range(3000)}
    await one.renew(held_now)
    for key in list(held_now)[::97]:
        assert await held(other, key) == held_now[key]


# --- Failures -------------------------------------------------------------------------------------


async def test_delays_grow_after_failures(worker: Worker) -> None:
    """The first few cost nothing; whichever worker counts them."""
    one, other = worker(), worker()
    delays = [(await state.failed(["a"], PENALTY))[0] for state in (one, other, one, other, one)]
    assert delays == [0.0, 0.0, 1000.0, 2000.0, 3000.0]
    waits = await other.wait_s(["a", "b"])
    assert list(waits) == [pytest.approx(3000.0, abs=60.0), 0.0]


async def test_each_key_of_a_call_has_its_own_failures(worker: Worker) -> None:
    state = worker()
    for _ in range(3):
        await state.failed(["a"], PENALTY)
    assert list(await state.failed(["b", "a"], PENALTY)) == [0.0, 2000.0]


async def test_failures_are_forgotten_where_somebody_says_so(worker: Worker) -> None:
    """Who logs in well begins anew."""
    state = worker()
    for _ in range(4):
        await state.failed(["a", "b"], PENALTY)
    await state.forgive(["a", "unknown"])
    waits = await state.wait_s(["a", "b"])
    assert waits[0] == 0.0 < waits[1]
    assert list(await state.failed(["a"], PENALTY)) == [0.0]


async def test_failures_are_forgotten_after_a_while(clocked: World, clock: MovedClock) -> None:
    """After the last of them; the delay is over before."""
    state, penalty = clocked.worker(), Penalty(0, 10.0, 100.0, 60.0)
    for _ in range(3):
        await state.failed(["a"], penalty)
    clock.now += 39.0
    assert list(await state.wait_s(["a"])) == [1.0]
    clock.now += 2.0
    assert list(await state.wait_s(["a"])) == [0.0]
    assert list(await state.failed(["a"], penalty)) == [80.0]
    clock.now += 100.0
    assert list(await state.failed(["a"], penalty)) == [10.0]


# --- Keys -----------------------------------------------------------------------------------------


async def test_a_reset_forgets_all_of_its_keys_and_of_no_other(worker: Worker) -> None:
    state = worker()
    for key in "ab":
        await state.admit([Charge(key, SLOW, 2)], [Lease(key, 5)])
        for _ in range(3):
            await state.failed([key], PENALTY)
    await state.reset(["a", "unknown"])
    assert [await left(state, key) for key in "ab"] == [3, 1]
    assert [await held(state, key) for key in "ab"] == [0, 1]
    waits = await state.wait_s(["a", "b"])
    assert waits[0] == 0.0 < waits[1]


async def test_nothing_to_reset_or_to_forgive_is_no_error(worker: Worker) -> None:
    state = worker()
    await state.reset([])
    await state.forgive([])
    await state.renew({})
    state.release([])
    assert list(await state.wait_s([])) == list(await state.failed([], PENALTY)) == []


async def test_a_key_may_be_any_text(worker: Worker) -> None:
    """Each has its own count, of each kind."""
    state = worker()
    for number, key in enumerate(KEYS):
        await state.admit([Charge(key, SLOW)], [Lease(key, 5)])
        assert await left(state, key) == 2, number
        assert await held(state, key) == 1, number
        assert list(await state.failed([key], PENALTY)) == [0.0], number
    state.release(KEYS)
    assert [await held(state, key) for key in KEYS] == [0] * len(KEYS)


async def test_what_is_counted_under_a_key_is_apart_by_kind(worker: Worker) -> None:
    """A rate, a lease and a failure of one name know nothing of each other."""
    state = worker()
    await state.admit([Charge("a", SLOW, 3)])
    assert passed(await state.admit([], [Lease("a", 1)])) == [True]
    assert list(await state.wait_s(["a"])) == [0.0]
    await state.forgive(["a"])
    assert await left(state, "a") == 0


async def test_many_keys_each_have_their_own_count(worker: Worker) -> None:
    """Twenty thousand: none is taken for another, none is forgotten."""
    state = worker()
    keys = [f"query:run/subject/acme/user-{number}" for number in range(20_000)]
    for at in range(0, len(keys), 50):
        await state.admit([Charge(key, SLOW) for key in keys[at : at + 50]])
    for at in range(0, len(keys), 50):
        found = await state.peek([Charge(key, SLOW) for key in keys[at : at + 50]])
        assert {outcome.left for outcome in found} == {1}


# --- Processes ------------------------------------------------------------------------------------


async def test_processes_count_together(world: World, worker: Worker) -> None:
    """Four at once, on the same keys: exactly the burst passes, of each."""
    rates = {f"key {number}": Rate(1, 1e9, 200 + number) for number in range(3)}

    async def work(state: SharedState, tell: Callable[[str], object]) -> None:
        for _ in range(200):
            for key, rate in rates.items():
                (outcome,) = await state.admit([Charge(key, rate)])
                if outcome.passed:
                    tell(f"{key[-1]}")

    processes = [Process(world, work) for _ in range(4)]
    told = [line for process in processes for line in process.rest()]
    assert [told.count(key[-1]) for key in rates] == [rate.burst for rate in rates.values()]


async def test_all_of_a_call_is_charged_or_nothing_between_processes(
    world: World, worker: Worker
) -> None:
    """Processes that ask for the same keys in different orders neither stand still nor err."""
    many, few = Rate(1, 1e9, 10_000), Rate(1, 1e9, 300)

    async def forwards(state: SharedState, tell: Callable[[str], object]) -> None:
        for _ in range(300):
            if all(passed(await state.admit([Charge("many", many), Charge("few", few)]))):
                tell("passed")

    async def backwards(state: SharedState, tell: Callable[[str], object]) -> None:
        for _ in range(300):
            if all(passed(await state.admit([Charge("few", few), Charge("many", many)]))):
                tell("passed")

    processes = [Process(world, work) for work in (forwards, backwards, forwards)]
    told = [line for process in processes for line in process.rest()]
    assert len(told) == few.burst
    assert await left(worker(), "many", many) == many.burst - few.burst


async def test_a_process_killed_at_any_moment_harms_nobody(world: World, worker: Worker) -> None:
    """Thirty are killed amid their calls while others count: nobody waits for the dead, no count is
    lost, and what the dead ones told of is charged, with at most one call more for each."""
    rate = Rate(1, 1e9, 1_000_000)
    keys = ["a", "b", "c"]

    async def work(state: SharedState, tell: Callable[[str], object]) -> None:
        while True:
            assert all(passed(await state.admit([Charge(key, rate) for key in keys])))
            tell(".")

    told = 0
    deaths = 30
    for _ in range(deaths // 2):
        pair = [Process(world, work), Process(world, work)]
        for process in pair:
            for _ in range(20):
                told += process.next_line() == "."
            process.kill()
        told += sum(len(process.rest()) for process in pair)
    for key in keys:
        charged = rate.burst - await left(worker(), key, rate)
        assert told <= charged <= told + deaths
