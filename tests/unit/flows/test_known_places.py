"""When the provider is asked where it takes what, and what holds while it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.domain.provider_places import Places
from gateway.domain.public_keys import PublicKeys
from gateway.errors import SignInUnavailable
from gateway.flows.known_places import RENEW_S, RETRY_S, KnownPlaces
from tests.unit.identity_fakes import MovableClock

GOOD = {
    "authorization_endpoint": "https://login.example.com/auth",
    "token_endpoint": "https://login.example.com/token",
}
FOUND = Places("https://login.example.com/auth", "https://login.example.com/token", False, False)


class World:
    """``down`` fails every question; ``held`` makes them wait; ``asked`` counts them."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.metadata_now: Mapping[str, Any] = GOOD
        self.asked = 0
        self.down = False
        self.held: asyncio.Event | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.places = KnownPlaces(self, self.clock, self)

    async def metadata(self) -> Mapping[str, Any]:
        self.asked += 1
        if self.held is not None:
            await self.held.wait()
        if self.down:
            raise SignInUnavailable from ConnectionError("refused")
        return self.metadata_now

    async def keys(self) -> PublicKeys:
        raise AssertionError("nobody asks for these here")

    def spawn(self, work: Any, name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        return task

    async def get(self, within_s: float = 60.0) -> Places:
        return await self.places.get(asyncio.get_running_loop().time() + within_s)

    async def settle(self) -> None:
        await asyncio.gather(*self._tasks)


@pytest.fixture
async def world() -> World:
    return World()


async def test_they_are_asked_for_once_however_many_wait(world: World) -> None:
    world.held = asyncio.Event()
    waiting = [asyncio.create_task(world.get()) for _ in range(50)]
    await asyncio.sleep(0)
    world.held.set()
    assert await asyncio.gather(*waiting) == [FOUND] * 50
    assert await world.get() == FOUND
    assert world.asked == 1


async def test_after_a_failure_nobody_asks_for_a_moment(world: World) -> None:
    """Whoever comes meanwhile is told at once."""
    world.down = True
    for _ in range(20):
        with pytest.raises(SignInUnavailable):
            await world.get()
    assert world.asked == 1
    world.down = False
    world.clock.passed_s += RETRY_S
    assert await world.get() == FOUND


async def test_what_was_known_is_good_while_the_provider_is_away(world: World) -> None:
    """It is renewed behind everybody's back."""
    assert await world.get() == FOUND
    world.clock.passed_s += RENEW_S
    world.down = True
    assert await world.get() == FOUND
    await world.settle()
    assert world.asked == 2
    world.down = False
    world.metadata_now = {**GOOD, "authorization_response_iss_parameter_supported": True}
    world.clock.passed_s += RETRY_S
    assert await world.get() == FOUND
    await world.settle()
    assert (await world.get()).names_issuer


async def test_nobody_waits_longer_than_his_deadline_and_who_leaves_disturbs_nobody(
    world: World,
) -> None:
    world.held = asyncio.Event()
    other = asyncio.create_task(world.get())
    left = asyncio.create_task(world.get())
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(SignInUnavailable):
        await world.get(within_s=0.01)
    world.held.set()
    assert await other == FOUND
    assert world.asked == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"authorization_endpoint": None},
        {"authorization_endpoint": "http://login.example.com/auth"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "https://login.example.com/auth#x"},
        {"authorization_endpoint": "https://login.example.com/auth\r\nSet-Cookie: a=b"},
        {"token_endpoint": "http://127.0.0.1.evil.example/token"},
        {"token_endpoint": "https://user:password@login.example.com/token"},
        {"token_endpoint": "https:///token"},
        {"token_endpoint": 1},
    ],
    ids=str,
)
async def test_no_secret_is_sent_to_a_place_of_nonsense(
    world: World, changes: dict[str, Any]
) -> None:
    """Nor a browser."""
    world.metadata_now = {**GOOD, **changes}
    with pytest.raises(SignInUnavailable):
        await world.get()


@pytest.mark.parametrize(
    ("methods", "in_body"),
    [
        (None, False),
        (["client_secret_basic", "client_secret_post"], False),
        (["client_secret_post"], True),
        (["private_key_jwt"], False),
        ("client_secret_post", False),
    ],
)
async def test_where_a_secret_goes_is_the_providers_to_say(
    world: World, methods: object, in_body: bool
) -> None:
    if methods is not None:
        world.metadata_now = {**GOOD, "token_endpoint_auth_methods_supported": methods}
    assert (await world.get()).secret_in_body is in_body
