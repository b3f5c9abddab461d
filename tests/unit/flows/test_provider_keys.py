"""When the provider is asked for its keys, and what holds while it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from gateway.domain.company_tokens import TokenHeader
from gateway.domain.public_keys import PublicKeys
from gateway.errors import SignInUnavailable, Unauthenticated
from gateway.flows.provider_keys import REFRESH_S, RENEW_S, ProviderKeys
from tests.company import SigningKey, public_keys
from tests.unit.identity_fakes import MovableClock

OLD, NEW = SigningKey(key_id="old"), SigningKey(number=1, key_id="new")


class ScriptedProvider:
    """``down`` fails every question; ``held`` makes them wait; ``asked`` counts."""

    def __init__(self, *keys: SigningKey) -> None:
        self.published = public_keys(*keys)
        self.asked = 0
        self.down = False
        self.held: asyncio.Event | None = None

    async def metadata(self) -> Mapping[str, Any]:
        return {}

    async def keys(self) -> PublicKeys:
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        if self.down:
            raise SignInUnavailable from ConnectionError("refused")
        return self.published


class Background:
    """What is started behind a request's back."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Any, name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def done(self) -> None:
        while self.tasks:
            await asyncio.wait(self.tasks)


class World:
    def __init__(self, *keys: SigningKey) -> None:
        self.clock = MovableClock()
        self.provider = ScriptedProvider(*keys)
        self.background = Background()
        self.keys = ProviderKeys(self.provider, self.clock, self.background)

    async def finds(self, key_id: str, within_s: float = 60.0) -> bool | None:
        """``None``: nobody can say."""
        deadline = asyncio.get_running_loop().time() + within_s
        try:
            found = await self.keys.find(TokenHeader("RS256", key_id), deadline)
        except SignInUnavailable:
            return None
        except Unauthenticated:
            return False
        return found.key_id == key_id


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World(OLD)
    yield made
    await made.background.done()


async def test_a_flood_of_unknown_keys_is_one_question(world: World) -> None:
    """At once, one after the other, whatever they are called: one in ``REFRESH_S``."""
    assert await asyncio.gather(*(world.finds(f"made-up-{n}") for n in range(100))) == [False] * 100
    assert await world.finds("old")
    for _ in range(100):
        assert await world.finds("made up") is False
    assert world.provider.asked == 1
    world.clock.passed_s += REFRESH_S
    assert await world.finds("made up") is False
    assert world.provider.asked == 2


async def test_a_rotated_key_is_known_by_the_first_token_that_needs_it(world: World) -> None:
    """Those of before stay as long as the provider publishes them, and no longer."""
    assert await world.finds("old")
    (old,) = world.keys.keys
    world.clock.passed_s += REFRESH_S
    world.provider.published = public_keys(NEW, OLD)
    assert await world.finds("new")
    assert world.keys.holds(old)
    world.clock.passed_s += REFRESH_S
    world.provider.published = public_keys(NEW)
    assert await world.finds("made up") is False
    assert not world.keys.holds(old)
    assert await world.finds("old") is False


async def test_a_withdrawn_key_is_believed_a_few_minutes_at_most(world: World) -> None:
    """Nobody sends an unknown one: the keys are asked for again, behind the request's back."""
    assert await world.finds("old")
    (old,) = world.keys.keys
    world.provider.published = public_keys(NEW)
    world.clock.passed_s += RENEW_S
    assert world.keys.holds(old)
    await world.background.done()
    assert not world.keys.holds(old)
    assert world.provider.asked == 2


@pytest.mark.parametrize("before", [True, False], ids=["known before", "never known"])
async def test_while_the_provider_is_away_its_keys_stay(before: bool, world: World) -> None:
    """What they cannot judge is nobody's fault but the provider's; it is asked seldom."""
    if before:
        assert await world.finds("old")
        world.clock.passed_s += REFRESH_S
    world.provider.down = True
    for _ in range(20):
        assert await world.finds("made up") is None
        assert await world.finds("old") is (True if before else None)
    assert world.provider.asked == 1 + before
    with pytest.raises(SignInUnavailable):
        await world.keys.check()
    world.provider.down = False
    world.clock.passed_s += REFRESH_S
    await world.keys.check()
    assert await world.finds("old")
    assert await world.finds("made up") is False


async def test_while_the_provider_hangs_known_keys_wait_for_nobody(world: World) -> None:
    """Who needs a new one waits as long as his request may take, and the question goes on."""
    assert await world.finds("old")
    world.clock.passed_s += REFRESH_S
    world.provider.held = asyncio.Event()
    world.provider.published = public_keys(NEW, OLD)
    assert await asyncio.gather(*(world.finds("new", 0.01) for _ in range(20))) == [None] * 20
    assert await world.finds("old")
    waiting = asyncio.create_task(world.finds("new"))
    await asyncio.sleep(0)
    world.provider.held.set()
    assert await waiting
    assert world.provider.asked == 2


async def test_a_caller_who_leaves_takes_nobodys_answer_away(world: World) -> None:
    """The question belongs to all who wait."""
    world.provider.held = asyncio.Event()
    first, second = (asyncio.create_task(world.finds("old")) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    world.provider.held.set()
    assert await second
    assert world.provider.asked == 1


async def test_readiness_asks_seldom(world: World) -> None:
    """Once the keys are known it costs no question."""
    for _ in range(10):
        await world.keys.check()
        world.clock.passed_s += 1
    assert world.provider.asked == 1
    assert world.keys.note() == "1 keys (RS256)"
