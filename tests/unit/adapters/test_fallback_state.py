"""What a replica counts while Redis is away, and that nobody gains a burst by its return.

Redis and the memories are simulated over one clock, by the rules of the domain, so that minutes of
many replicas pass in a moment; real ones are in tests/contract.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.fallback_state import FallbackState
from gateway.domain.limits import Budget, Charge, Lease, Penalty, Rate
from gateway.domain.when_away import (
    REJOIN_S,
    REPLICA_LIFE_S,
    WHEN_AWAY,
    share_of_charge,
    share_of_lease,
    share_of_penalty,
)
from gateway.errors import SharedStateUnavailable
from tests.simulated_state import Clock, Simulated

# Sixteen at once, then one an hour.
RATE = Rate(1, 3600.0, 16)


class Replica:
    """One worker of one replica; ``look`` is a round of its background work."""

    def __init__(self, shared: Simulated, clock: Clock) -> None:
        self.memory = Simulated(clock)
        self.state = FallbackState(shared, self.memory, clock, Random(1))
        self.shared = shared

    async def look(self) -> None:
        """As ``run`` does it, without the pauses in between."""
        await self.state.look()
        self.state.settle()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shared(clock: Clock) -> Simulated:
    return Simulated(clock)


# --- Shares ---------------------------------------------------------------------------------------


@given(count=st.integers(1, 500), burst=st.integers(1, 500), replicas=st.integers(1, 20))
def test_the_shares_of_all_replicas_are_the_limit_and_take_as_long_to_fill(
    count: int, burst: int, replicas: int
) -> None:
    """Unless a share would be less than one."""
    whole = Charge("key", Rate(count, 60.0, burst))
    share = share_of_charge(whole, replicas)
    assert share.rate.interval_s == pytest.approx(whole.rate.interval_s * replicas)
    assert share.rate.burst * replicas <= max(burst, replicas)
    assert share.rate.burst >= 1
    if burst % replicas == 0:
        seconds = share.rate.interval_s * share.rate.burst
        assert seconds == pytest.approx(whole.rate.interval_s * burst)


def test_what_would_pass_alone_still_passes_in_a_share() -> None:
    """A charge of five in a burst of six, of which a third is two; one that never passes, never."""
    assert share_of_charge(Charge("key", Rate(6, 60.0, 6), 5), 3).rate.burst == 5
    assert share_of_charge(Charge("key", Rate(6, 60.0, 6), 7), 3).rate.burst == 2
    assert share_of_lease(Lease("key", 10), 3).most == 3
    assert share_of_lease(Lease("key", 2), 3).most == 1
    assert share_of_lease(Lease("key", 0), 3).most == 0
    assert share_of_penalty(Penalty(6, 1.0, 60.0, 600.0), 3) == Penalty(2, 1.0, 60.0, 600.0)
    assert share_of_penalty(Penalty(0, 1.0, 60.0, 600.0), 3).free == 0


# --- Modes ----------------------------------------------------------------------------------------


async def test_a_lost_redis_refuses_nobody_and_each_replica_keeps_to_its_share(
    clock: Clock, shared: Simulated
) -> None:
    """Three replicas were seen: a burst of nine is three in each."""
    shared.replicas = 3
    replica = Replica(shared, clock)
    await replica.look()
    shared.up = False
    charge = Charge("key", Rate(9, 9.0, 9))
    answers = [(await replica.state.admit([charge]))[0].passed for _ in range(5)]
    assert answers == [True, True, True, False, False]
    assert (replica.state.mode, replica.state.losses) == ("alone", 1)


async def test_readiness_is_told_the_mode_of_every_feature(clock: Clock, shared: Simulated) -> None:
    """And why Redis is away, and how many replicas share."""
    shared.replicas = 2
    replica = Replica(shared, clock)
    await replica.look()
    shared.up = False
    await replica.look()
    with pytest.raises(SharedStateUnavailable) as found:
        await replica.state.check()
    assert all(word in found.value.message for word in (*WHEN_AWAY, *WHEN_AWAY.values()))
    assert "refused" in found.value.message
    assert "replicas last seen: 2" in found.value.message


async def test_the_number_of_replicas_is_the_most_of_the_last_seconds(
    clock: Clock, shared: Simulated
) -> None:
    """An emptied Redis first hears of one alone; one that is gone is forgotten in its time."""
    replica = Replica(shared, clock)
    for replicas, after_s, expected in ((3, 0.0, 3), (1, 1.0, 3), (1, REPLICA_LIFE_S, 1)):
        shared.replicas = replicas
        clock.now += after_s
        await replica.look()
        assert replica.state.replicas == expected


async def test_it_comes_back_by_itself_and_keeps_to_its_share_until_all_are_back(
    clock: Clock, shared: Simulated
) -> None:
    """Alone, rejoining, shared."""
    replica = Replica(shared, clock)
    shared.up = False
    await replica.look()
    assert replica.state.mode == "alone"
    shared.up = True
    await replica.look()
    assert replica.state.mode == "rejoining"
    clock.now += REJOIN_S
    await replica.look()
    assert replica.state.mode == "shared"


async def test_streams_are_counted_where_it_is_counted_now(clock: Clock, shared: Simulated) -> None:
    """Those that were open when Redis was lost count in memory, those opened since in Redis."""
    replica, lease = Replica(shared, clock), Lease("streams", 3)
    assert (await replica.state.admit([], [lease]))[0].passed
    shared.up = False
    assert (await replica.state.admit([], [lease]))[0].passed
    assert replica.memory.held == {"streams": 2}
    shared.held.clear()
    shared.up = True
    await replica.look()
    assert shared.held == {"streams": 2}
    assert (await replica.state.admit([], [lease]))[0].passed
    assert not (await replica.state.admit([], [lease]))[0].passed
    replica.state.release(["streams"])
    assert shared.held == replica.memory.held == {"streams": 2}


async def test_a_stream_that_redis_refuses_is_not_held_in_memory(
    clock: Clock, shared: Simulated
) -> None:
    """While both have to say yes, either of them may say no."""
    replica, lease = Replica(shared, clock), Lease("streams", 3)
    shared.up = False
    await replica.look()
    shared.up = True
    await replica.look()
    shared.held["streams"] = 3
    assert not (await replica.state.admit([], [lease]))[0].passed
    assert replica.memory.held == {"streams": 0}


async def test_a_stream_whose_client_leaves_while_redis_is_asked_is_not_held_in_memory(
    clock: Clock, shared: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory had said yes already."""
    replica, lease = Replica(shared, clock), Lease("streams", 3)
    shared.up = False
    await replica.look()
    shared.up = True
    await replica.look()
    asked = asyncio.Event()

    async def never(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(shared, "admit", never)
    call = asyncio.create_task(replica.state.admit([], [lease]))
    await asked.wait()
    assert replica.memory.held == {"streams": 1}
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert replica.memory.held == {"streams": 0}


async def test_the_failures_of_a_flood_are_told_in_few_calls(
    clock: Clock, shared: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call for each would keep the replica alone for as long as all of them take."""
    replica, penalty = Replica(shared, clock), Penalty(3, 1.0, 60.0, 600.0)
    shared.up = False
    await replica.look()
    for number in range(1000):
        await replica.state.failed([f"account {number}"], penalty)
    await replica.state.failed(["account 0", "account 999"], penalty)
    shared.up, calls, failed = True, [], shared.failed

    async def counted(keys: Sequence[str], penalty: Penalty) -> Sequence[float]:
        calls.append(len(keys))
        return await failed(keys, penalty)

    monkeypatch.setattr(shared, "failed", counted)
    await replica.look()
    assert (sum(calls), replica.state.mode) == (1002, "rejoining")
    assert len(calls) <= 10
    assert [shared.failures[f"account {number}"][0] for number in (0, 1, 999)] == [2, 1, 2]


async def test_failures_of_the_time_alone_are_told_to_redis(
    clock: Clock, shared: Simulated
) -> None:
    """Its return frees nobody who guesses; what was forgiven is not told."""
    replica, penalty = Replica(shared, clock), Penalty(1, 10.0, 60.0, 600.0)
    shared.up = False
    for _ in range(3):
        await replica.state.failed(["guessed", "forgiven"], penalty)
    await replica.state.forgive(["forgiven"])
    shared.up = True
    await replica.look()
    guessed, forgiven = await replica.state.wait_s(["guessed", "forgiven"])
    assert guessed > 10.0
    assert forgiven == 0.0
    assert shared.failures["guessed"][0] == 3


async def test_a_reset_reaches_both(clock: Clock, shared: Simulated) -> None:
    replica = Replica(shared, clock)
    charge = Charge("key", Rate(1, 60.0, 1))
    shared.up = False
    assert (await replica.state.admit([charge]))[0].passed
    assert not (await replica.state.admit([charge]))[0].passed
    await replica.state.reset(["key"])
    assert (await replica.state.admit([charge]))[0].passed


async def test_what_a_late_replica_let_through_is_added_to_what_the_others_charged(
    clock: Clock, shared: Simulated
) -> None:
    """Of a burst of 16 two replicas may have 8 each: one is back unspent and spends all of it, the
    other spends 4 alone and is back; 4 are left, and not 8."""
    early, late, charge = Replica(shared, clock), Replica(shared, clock), Charge("key", RATE)
    shared.replicas = 2
    for replica in (early, late):
        await replica.look()
    shared.up = False
    for replica in (early, late):
        await replica.look()
    shared.up = True
    await early.look()
    for _ in range(8):
        assert (await early.state.admit([charge]))[0].passed
    for _ in range(4):
        assert (await late.state.admit([charge]))[0].passed
    await late.look()
    passed = 0
    # Until Redis decides alone; an hour is a long time to one event here.
    clock.now += REJOIN_S + 1.0
    for replica in (early, late):
        await replica.look()
    while (await early.state.admit([charge]))[0].passed:
        passed += 1
    assert passed in (3, 4)


# --- No burst -------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    replicas=st.integers(1, 4),
    burst_each=st.integers(1, 5),
    interval_s=st.floats(0.05, 5.0),
    outages=st.lists(
        st.tuples(st.floats(0.1, 40.0), st.floats(0.1, 60.0), st.booleans()), min_size=1, max_size=3
    ),
)
def test_no_window_since_redis_was_lost_has_more_than_limit_and_burst(
    seed: int,
    replicas: int,
    burst_each: int,
    interval_s: float,
    outages: list[tuple[float, float, bool]],
) -> None:
    """However long it is away, whether it forgets all, however late each replica comes back, and
    whichever of them is asked how often: from the loss on, over the return and for ever after."""

    async def play() -> None:
        clock, random = Clock(), Random(seed)
        shared = Simulated(clock)
        shared.replicas = replicas
        all_of_them = [Replica(shared, clock) for _ in range(replicas)]
        rate = Rate(1000, 1000 * interval_s, burst_each * replicas)
        for replica in all_of_them:
            await replica.look()
        for away_s, after_s, forgets in outages:
            clock.now += random.uniform(0, 30)
            shared.up = False
            # Each of them is told at once: its connection breaks.
            for replica in all_of_them:
                await replica.look()
            passed = await ask_until(clock, random, all_of_them, rate, clock.now + away_s, {})
            if forgets:
                shared.rates.clear()
            shared.up = True
            back = {one: clock.now + random.uniform(0, 2.5) for one in all_of_them}
            passed += await ask_until(clock, random, all_of_them, rate, clock.now + after_s, back)
            assert_no_window_above(passed, rate)
            # All are back before the next outage.
            clock.now += 3 * REJOIN_S
            for replica in all_of_them:
                await replica.look()

    asyncio.run(play())


async def ask_until(
    clock: Clock,
    random: Random,
    replicas: list[Replica],
    rate: Rate,
    end: float,
    back: dict[Replica, float],
) -> list[float]:
    """Asks at random, in turn hard and hardly; each replica looks for Redis from its time on."""
    passed: list[float] = []
    charge = Charge("key", rate)
    favourite, pace = random.choice(replicas), random.choice([0.1, 0.7, 3.0])
    while clock.now < end:
        clock.now += random.expovariate(1 / (rate.interval_s * pace))
        for replica, at in back.items():
            if clock.now >= at:
                await replica.look()
        if random.random() < 0.05:
            favourite, pace = random.choice(replicas), random.choice([0.1, 0.7, 3.0, 30.0])
        asked = favourite if random.random() < 0.5 else random.choice(replicas)
        if (await asked.state.admit([charge]))[0].passed:
            passed.append(clock.now)
    return passed


def assert_no_window_above(times: list[float], rate: Rate) -> None:
    """Between any two that passed there are at most the burst and what the rate gives meanwhile."""
    lowest = float("inf")
    for index, at in enumerate(times):
        # index - at / interval may rise by the burst at most above its lowest value before.
        lowest = min(lowest, index - at / rate.interval_s)
        above = index + 1 - at / rate.interval_s - lowest
        assert above <= rate.burst + 1e-6, (at, above)


# --- Budgets --------------------------------------------------------------------------------------


async def test_only_redis_says_what_is_spent_of_a_budget(shared: Simulated, clock: Clock) -> None:
    """Alone nobody knows, and nobody is kept out; as soon as Redis is asked again it decides."""
    replica, shared.spent = Replica(shared, clock), {"day": 9}
    asked = ([Charge("a", Rate(9, 3600.0, 9))], [Lease("a", 9)])
    assert [one.passed for one in await replica.state.admit(*asked, [Budget("day", 9)])] == [
        *(True, True, False)
    ]
    shared.up = False
    alone = await replica.state.admit(*asked, [Budget("day", 9)])
    assert [one.passed for one in alone] == [True, True]
    shared.up = True
    await replica.look()
    held = dict(replica.memory.held)

    both = await replica.state.admit(*asked, [Budget("day", 9)])

    assert replica.state.mode == "rejoining"
    assert [one.passed for one in both] == [True, True, False]
    assert replica.memory.held == held
