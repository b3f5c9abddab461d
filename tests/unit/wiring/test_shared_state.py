"""Where workers count together, as the settings say."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.adapters.memory_state import Buckets, SharedMemory
from gateway.domain.limits import Charge, Lease, Rate
from gateway.edge.tasks import Tasks
from gateway.telemetry.shared_state_metrics import STATE_EVICTED, STATE_UNLOCKED
from gateway.tls.outgoing import OutgoingTls
from gateway.wiring import dependencies, shared_state
from gateway.wiring.dependency import Building, Built
from gateway.wiring.shared_state import REPLICA, STATE

from ..valid_settings import load

RATE = Rate(1, 3600.0, 3)


async def a_worker(closing: AsyncExitStack) -> tuple[Built[Any], Built[Any]]:
    """What a worker has: the state of all, and that of its replica."""
    building = Building(load(), OutgoingTls(), Tasks(), closing)
    return await STATE.build(building), await REPLICA.build(building)


async def test_workers_count_in_the_memory_made_before_their_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of them, and both of a worker's; what a worker held is free with its end."""
    monkeypatch.setattr(shared_state, "_memory", None)
    STATE.before_fork(load())
    async with AsyncExitStack() as later:
        async with AsyncExitStack() as sooner:
            (one, _), (other, replica) = await a_worker(sooner), await a_worker(later)
            for state in (one, other, replica):
                (outcome,) = await state.adapter.admit([Charge("a", RATE)])
            assert outcome.left == 0
            await one.adapter.admit([], [Lease("a", 1)])
            assert not (await other.adapter.peek([], [Lease("a", 1)]))[0].passed
        assert (await other.adapter.peek([], [Lease("a", 1)]))[0].passed


async def test_a_reload_keeps_what_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory is of the process that forks, whatever settings the next workers have."""
    monkeypatch.setattr(shared_state, "_memory", None)
    dependencies.STATE.before_fork(load())
    before = shared_state._memory
    dependencies.before_reload(load())
    assert shared_state._memory is before is not None


async def test_it_is_watched_only_where_it_can_be_down() -> None:
    """Memory cannot; a Redis can."""
    redis = {"GATEWAY_REDIS_URL": "redis://127.0.0.1:9"}
    assert {"state", "replica"}.isdisjoint(dependencies.names(load()))
    assert "state" in dependencies.names(load(**redis))
    assert "replica" not in dependencies.names(load(**redis))


async def test_what_made_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By table, whichever of a worker's two asked."""
    monkeypatch.setattr(shared_state, "_memory", SharedMemory(4, Buckets(64, 64, 64)))
    async with AsyncExitStack() as closing:
        state, replica = await a_worker(closing)
        for number in range(2 * 64 * 16):
            await state.adapter.admit([Charge(f"key {number}", RATE)])
        sampled = {(metric, labels): value for metric, labels, value in replica.samples[0]()}
    assert sampled[STATE_EVICTED, ("rates",)] >= 64 * 16
    assert sampled[STATE_EVICTED, ("leases",)] == sampled[STATE_UNLOCKED, ()] == 0
