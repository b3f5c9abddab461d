"""What a worker holds for its open streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from gateway.adapters.memory_state import Buckets, MemoryState, SharedMemory
from gateway.domain.limits import LEASE_S, RENEW_S, Lease
from gateway.errors import SharedStateUnavailable
from gateway.flows.leases import INTERVAL_S, Leases
from tests.contract.state.worlds import MovedClock

SMALL = Buckets(64, 64, 64)


class Counting:
    """The real state, with what it was told and whether it answers."""

    def __init__(self, state: MemoryState) -> None:
        self.state = state
        self.renewals: list[dict[str, int]] = []
        self.problem: Exception | None = None

    def release(self, keys: Sequence[str]) -> None:
        self.state.release(keys)

    async def renew(self, held: Mapping[str, int]) -> None:
        self.renewals.append(dict(held))
        if self.problem is not None:
            raise self.problem
        await self.state.renew(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.state, name)


class Replica:
    """Two workers on one clock; ``leases`` are those of ``state``, ``other`` looks on."""

    def __init__(self) -> None:
        self.clock = MovedClock()
        memory = SharedMemory(2, SMALL)
        self.state = Counting(MemoryState(memory, self.clock))
        self.other = MemoryState(memory, self.clock)
        self.leases = Leases(self.state)

    async def open(self, *keys: str) -> Any:
        assert all(
            one.passed for one in await self.state.admit([], [Lease(key, 99) for key in keys])
        )
        return self.leases.hold(keys)

    async def count(self, key: str) -> int:
        (outcome,) = await self.other.peek([], [Lease(key, 99)])
        return 98 - outcome.left


@pytest.fixture
def replica() -> Replica:
    return Replica()


async def test_what_a_stream_holds_is_free_as_soon_as_it_ends(replica: Replica) -> None:
    """Once, however often its end is told: others hold leases of the same key."""
    one = await replica.open("a", "b")
    other = await replica.open("a")
    one.release()
    one.release()
    assert (await replica.count("a"), await replica.count("b")) == (1, 0)
    assert dict(replica.leases.held) == {"a": 1}
    other.release()
    assert (await replica.count("a"), dict(replica.leases.held)) == (0, {})


async def test_all_streams_are_renewed_in_one_call(replica: Replica) -> None:
    """As long as they run; one interval late is no matter."""
    streams = [await replica.open("tenant", f"subject {number}") for number in range(50)]
    for _ in range(20):
        replica.clock.now += 2 * RENEW_S
        await replica.leases.renew()
    assert [len(renewal) for renewal in replica.state.renewals] == [51] * 20
    assert (await replica.count("tenant"), await replica.count("subject 7")) == (50, 1)
    for stream in streams:
        stream.release()
    assert await replica.count("tenant") == 0


async def test_a_worker_without_streams_renews_nothing(replica: Replica) -> None:
    """Once it says that it holds nothing any more, in case that got lost; then it is silent."""
    await replica.leases.renew()
    (await replica.open("a")).release()
    await replica.leases.renew()
    stream = await replica.open("a")
    await replica.leases.renew()
    stream.release()
    for _ in range(3):
        await replica.leases.renew()
    assert replica.state.renewals == [{"a": 1}, {}]


async def test_a_stream_whose_worker_stood_still_counts_again(replica: Replica) -> None:
    """Its leases were free meanwhile."""
    await replica.open("a")
    replica.clock.now += LEASE_S + 1.0
    assert await replica.count("a") == 0
    await replica.leases.renew()
    assert await replica.count("a") == 1


@pytest.mark.parametrize("problem", [SharedStateUnavailable(), TimeoutError(), ZeroDivisionError()])
async def test_a_failed_renewal_is_made_up_for_by_the_next(
    replica: Replica, problem: Exception
) -> None:
    """No failure ends the renewals, whatever it is."""
    await replica.open("a")
    replica.state.problem = problem
    await replica.leases.renew()
    await replica.leases.renew()
    replica.state.problem = None
    replica.clock.now += LEASE_S + 1.0
    await replica.leases.renew()
    assert await replica.count("a") == 1


def test_there_are_three_renewals_in_the_life_of_a_lease() -> None:
    """One may be late and one get lost."""
    assert RENEW_S >= INTERVAL_S
    assert LEASE_S >= 3 * RENEW_S
