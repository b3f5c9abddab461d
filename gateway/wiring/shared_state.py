"""What workers count together: in Redis where one is named, else in the memory of this replica."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.adapters.memory_state import MemoryState, SharedMemory
from gateway.ports import SharedState
from gateway.settings import Settings
from gateway.telemetry import samples
from gateway.telemetry.samples import Sample
from gateway.wiring.dependency import Building, Built, Dependency
from gateway.wiring.redis_state import RELOADED, counted_in_redis, import_redis

# A worker that only ends its streams has a successor already, and that one perhaps too.
HOLDERS_PER_WORKER = 4

# Made in the process that forks the workers; elsewhere (``gateway check``) nobody shares anything.
_memory: SharedMemory | None = None


def _share_memory(settings: Settings) -> None:
    global _memory
    _memory = SharedMemory(settings.server_workers * HOLDERS_PER_WORKER)
    import_redis(settings)


def _in_memory(building: Building) -> tuple[SharedMemory, MemoryState]:
    memory = _memory or SharedMemory(HOLDERS_PER_WORKER)
    state = MemoryState(memory)
    building.closing.callback(state.close)
    return memory, state


async def _state(building: Building) -> Built[SharedState]:
    """In memory it is there also for Redis, for when that is away."""
    _, state = _in_memory(building)
    if _in_redis(building.settings):
        return await counted_in_redis(building, state, serves=_memory is not None)
    return Built(state, state.check, (lambda: samples.shared_state("memory", 1, 0),))


def _in_redis(settings: Settings) -> bool:
    return settings.redis_url is not None


async def _replica(building: Building) -> Built[SharedState]:
    memory, state = _in_memory(building)

    def counted() -> Iterator[Sample]:
        return samples.shared_memory(memory.evicted(), memory.unlocked)

    return Built(state, state.check, (counted,))


def _never(_settings: Settings) -> bool:
    return False


# What only the workers of this replica count together, wherever the rest is counted: requests by
# address, for which nobody waits for a network.
REPLICA: Dependency[SharedState] = Dependency("replica", _replica, watched=_never)

STATE: Dependency[SharedState] = Dependency(
    "state",
    _state,
    reloaded=RELOADED,
    before_fork=_share_memory,
    watched=_in_redis,
)
