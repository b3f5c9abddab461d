"""Delays after failed logins: they grow, tell nothing, and keep no owner out for long."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.adapters.memory_state import Buckets, MemoryState, SharedMemory
from gateway.domain.identity import User
from gateway.domain.limits import Penalty
from gateway.errors import InvalidCredentials, Overloaded, SharedStateUnavailable
from gateway.flows.login import Login, _typed_digest
from gateway.flows.login_delays import TURN_S, DelayRules, LoginDelayed, LoginDelays
from tests.unit.flows.test_login import Passwords
from tests.unit.identity_fakes import Accounts, MovableClock, revocations_of
from tests.unit.values import token_settings

TOKENS = token_settings(b"x" * 32)
ALICE = User("alice", "acme", frozenset({"editor"}), "hash of wonderland")
HOME, ELSEWHERE, ATTACKER = "198.51.100.7", "198.51.100.8", "203.0.113.9"
LONGEST_S = 60.0
RULES = DelayRules(
    account=Penalty(3, 1.0, LONGEST_S, 3600.0),
    address=Penalty(10, 1.0, LONGEST_S, 3600.0),
    known_s=30 * 86400.0,
)


class World:
    """A login over the memory that workers share, with a clock that is moved."""

    def __init__(self, rules: DelayRules = RULES) -> None:
        self.clock = MovableClock()
        self.memory = SharedMemory(2, Buckets(64, 64, 8))
        self.state = MemoryState(self.memory, self.clock.monotonic)
        self.passwords = Passwords()
        self.accounts = Accounts(ALICE)
        self.delays = LoginDelays(self.state, rules)
        known = revocations_of(self.clock).known
        self.login = Login(
            self.accounts, self.passwords, TOKENS, self.clock, known, delays=self.delays
        )

    async def fail(self, name: str = "alice", address: str = ATTACKER) -> str:
        """What a wrong password brings: ``"wrong"``, or the wait as the client reads it."""
        try:
            await self.login.login(name, "a guess", address)
        except InvalidCredentials:
            return "wrong"
        except LoginDelayed as refused:
            return f"{refused.message} {refused.retry_after_s} {refused.details} {refused.headers}"
        raise AssertionError("let in")

    async def succeed(self, address: str = HOME) -> None:
        await self.login.login("alice", "wonderland", address)

    async def wait_s(self, address: str = HOME) -> float:
        """How long the owner has to wait, the right password in hand; 0 where he is in."""
        try:
            await self.succeed(address)
        except LoginDelayed as refused:
            return float(refused.details["retry_after_s"])
        return 0.0


@pytest.fixture
def world() -> World:
    return World()


async def test_delays_grow_after_some_free_failures(world: World) -> None:
    """1, 2, 4 … seconds, and while one runs no password is looked at."""
    assert [await world.fail(address=f"203.0.113.{n}") for n in range(3)] == ["wrong"] * 3
    for number, delay_s in enumerate((1, 2, 4, 8, 16, 32, 60, 60)):
        assert await world.fail(address=f"203.0.113.{number}") == "wrong"
        checked = len(world.passwords.checked)
        assert f" {delay_s} " in await world.fail(address=f"198.51.100.{number}")
        assert len(world.passwords.checked) == checked
        world.clock.passed_s += delay_s


async def test_a_name_that_does_not_exist_is_treated_alike(world: World) -> None:
    """Every answer of two long rows of attempts, word for word and second for second."""

    async def row(name: str, address: str) -> list[str]:
        answers = []
        for _ in range(40):
            answers.append(await world.fail(name, address))
            world.clock.passed_s += 0.7
        return answers

    of_alice = await row("alice", ATTACKER)
    assert of_alice == await row("nobody", ELSEWHERE)
    assert len(set(of_alice)) > 3


async def test_an_address_is_delayed_whatever_names_it_tries(world: World) -> None:
    """One name after the other, and another address of the same /64 is no way out."""
    for number in range(11):
        assert await world.fail(f"name{number}", "2001:db8:1:2::7") == "wrong"
    assert await world.fail("another", "2001:db8:1:2:3::9") != "wrong"
    assert await world.fail("another", "2001:db8:1:3::9") == "wrong"


async def test_one_good_account_does_not_clear_an_address(world: World) -> None:
    """A success in between forgives what failed for that account alone."""
    for number in range(10):
        await world.fail(f"name{number}")
    await world.succeed(ATTACKER)
    await world.fail("name10")
    assert await world.fail("name11") != "wrong"


async def test_a_success_forgives_what_failed_for_the_account(world: World) -> None:
    for _ in range(2):
        for _ in range(3):
            assert await world.fail(address=HOME) == "wrong"
        await world.succeed(HOME)


async def test_an_owner_is_let_in_where_he_was_before(world: World) -> None:
    """Whoever tries his name from elsewhere, for however long, and before or after he comes."""
    await world.succeed(HOME)
    for _ in range(20):
        await world.fail()
        world.clock.passed_s += 5.0
        assert await world.wait_s(HOME) == 0.0


async def test_guesses_from_a_known_address_are_delayed_too(world: World) -> None:
    """Somebody behind the same proxy as the owner."""
    await world.succeed(HOME)
    assert [await world.fail(address=HOME) for _ in range(4)] == ["wrong"] * 4
    assert await world.fail(address=HOME) != "wrong"


async def test_nobody_waits_longer_than_the_longest_delay(world: World) -> None:
    """From a new address, while an attacker takes every turn there is: the told wait is kept."""
    for _ in range(12):
        while await world.fail(address="203.0.113.1") != "wrong":
            world.clock.passed_s += 1.0
    told_s = await world.wait_s(ELSEWHERE)
    assert 0.0 < told_s <= LONGEST_S
    for _ in range(int(told_s)):
        world.clock.passed_s += 1.0
        await world.fail()
    assert await world.wait_s(ELSEWHERE) == 0.0


async def test_a_told_wait_is_good_for_one_attempt(world: World) -> None:
    """And an attempt that comes too early, or far too late, gets no more than any other."""
    for number in range(12):
        while await world.fail(address=f"203.0.113.{number}") != "wrong":
            world.clock.passed_s += 1.0
    first = await world.fail(address=ELSEWHERE)
    world.clock.passed_s += 30.0
    assert first != await world.fail(address=ELSEWHERE) != "wrong"
    world.clock.passed_s += 30.0 + TURN_S / 2
    await world.state.failed(
        ["login/account/" + login_digest(world, "alice")], replace(RULES.account, free=0)
    )
    assert await world.fail(address=ELSEWHERE) == "wrong"
    assert await world.fail(address=ELSEWHERE) != "wrong"


def login_digest(world: World, name: str) -> str:
    """What stands for a name in the keys of what is counted."""
    return _typed_digest(name, TOKENS.secrets[0])


async def test_guesses_sent_at_once_do_not_pass_together(world: World) -> None:
    """Each is counted before its password is looked at, one at a time."""
    answers = await asyncio.gather(*(world.fail(address=f"203.0.113.{n}") for n in range(50)))
    assert answers.count("wrong") == 4
    assert len(world.passwords.checked) == 4


async def test_a_login_that_found_the_queue_full_is_no_failure(world: World) -> None:
    world.passwords.overloaded = True
    for _ in range(20):
        with pytest.raises(Overloaded):
            await world.login.login("alice", "wonderland", HOME)
    world.passwords.overloaded = False
    assert await world.wait_s(HOME) == 0.0


async def test_all_is_forgotten_after_a_while(world: World) -> None:
    for _ in range(4):
        await world.fail()
    world.clock.passed_s += 3600.0
    assert [await world.fail() for _ in range(3)] == ["wrong"] * 3


async def test_where_nothing_can_be_counted_owners_are_let_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted, for the alert."""

    async def down(*_: object) -> None:
        raise SharedStateUnavailable

    for name in ("wait_s", "failed", "forgive"):
        monkeypatch.setattr(world.state, name, down)
    await world.succeed(HOME)
    assert await world.fail() == "wrong"
    assert world.delays.unchecked > 0


async def test_a_login_without_an_address_is_counted_all_the_same(world: World) -> None:
    """Such as one over a Unix socket."""
    assert [await world.fail(address="") for _ in range(4)] == ["wrong"] * 4
    assert await world.fail(address="") != "wrong"
