"""Each kind of shared state, empty for each test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from gateway.adapters.redis_access import RedisAccess
from gateway.adapters.redis_state import RedisState
from gateway.domain.limits import Lease, Penalty
from gateway.ports import SharedState
from tests.components import running_redis
from tests.contract.state.worlds import MemoryWorld, MovedClock, RedisWorld, World

# How long a call may take: a test does not depend on the machine's speed.
PATIENT_S = 60.0
_numbers = itertools.count()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def redis_address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, int]]:
    async with running_redis(tmp_path_factory.mktemp("redis")) as running:
        host, _, port = running.launch.address.rpartition(":")
        address = host, int(port)
        await teach_scripts(RedisAccess((address,), "taught:", PATIENT_S))
        yield address


async def teach_scripts(access: RedisAccess) -> None:
    """A script that Redis does not know is sent once more, behind what was asked after it."""
    state = RedisState(lambda: access)
    await state.admit([], [Lease("a", 1)])
    state.release(["a"])
    await state.renew({"a": 0})
    await state.failed(["a"], Penalty(0, 1.0, 1.0, 1.0))
    await state.wait_s(["a"])
    await state.aclose()


def memory(_: pytest.FixtureRequest) -> World:
    return MemoryWorld()


def redis(request: pytest.FixtureRequest) -> World:
    address = request.getfixturevalue("redis_address")
    return RedisWorld(RedisAccess((address,), f"test{next(_numbers)}:", PATIENT_S))


@pytest.fixture(params=[memory, redis], ids=lambda make: make.__name__)
def world(request: pytest.FixtureRequest) -> World:
    made: World = request.param(request)
    return made


@pytest.fixture
async def worker(world: World) -> AsyncIterator[Callable[[], SharedState]]:
    """Makes one more worker; all of them are closed in the end."""
    made: list[SharedState] = []

    def make() -> SharedState:
        made.append(world.worker())
        return made[-1]

    yield make
    for one in made:
        await world.close(one)


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture(params=[MemoryWorld], ids=["memory"])
def clocked(request: pytest.FixtureRequest, clock: MovedClock) -> World:
    """The kinds whose clock can be moved, on ``clock``."""
    made: World = request.param(clock)
    return made
