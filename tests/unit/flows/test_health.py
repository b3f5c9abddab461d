"""Readiness is what the last background round found, and asking for it asks nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.errors import PolicyBroken, StorageUnavailable
from gateway.flows.health import Health


class FixedClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


async def fine() -> None:
    return None


async def down() -> None:
    raise StorageUnavailable from ConnectionRefusedError("nobody listens")


async def broken() -> None:
    raise PolicyBroken("rule allow is undefined")


async def frozen() -> None:
    await asyncio.Event().wait()


def started(**checks: Callable[[], Awaitable[None]]) -> Health:
    health = Health(checks, FixedClock(), timeout_s=0.01)
    health.starting = False
    return health


async def test_a_dependency_that_is_down_degrades_and_stays_ready() -> None:
    """A clear 503 from a living gateway beats a dead address."""
    health = started(core=fine, storage=down)
    await health.check_all()
    assert (health.ready, health.status) == (True, "degraded")
    assert health.states["storage"].state == "down"
    assert "nobody listens" in (health.states["storage"].reason or "")


async def test_a_broken_policy_is_not_ready() -> None:
    """Nothing would be allowed, so traffic belongs elsewhere."""
    health = started(policy=broken)
    await health.check_all()
    assert (health.ready, health.status) == (False, "unavailable")


async def test_a_frozen_dependency_is_down_and_holds_up_no_other() -> None:
    """Each check has a limit of its own."""
    health = started(temporal=frozen, core=fine)
    await health.check_all()
    assert health.states["temporal"].state == "down"
    assert health.states["core"].state == "ok"


async def test_since_is_when_the_state_changed() -> None:
    """An operator reads how long it has been so, not when it was last looked at."""
    clock = FixedClock()
    health = Health({"core": fine}, clock)
    await health.check_all()
    clock.now = 2000.0
    await health.check_all()
    assert health.states["core"].since == 1000.0


def test_starting_and_draining_are_not_ready() -> None:
    """Before the first round and after the signal to stop, requests belong elsewhere."""
    health = Health({}, FixedClock())
    assert not health.ready
    health.starting = False
    assert health.ready
    health.draining = True
    assert not health.ready
