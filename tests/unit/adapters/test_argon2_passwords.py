"""Passwords: hashed as the contract says, one at a time, with a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from gateway.adapters import argon2_passwords
from gateway.adapters.argon2_passwords import Argon2Passwords, hash_fault, hash_password
from gateway.errors import Overloaded

HASH = hash_password("correct horse")


class Gate:
    """Stands in for the hash: each check waits for its release, and how many run is counted."""

    def __init__(self) -> None:
        self.turns = threading.Semaphore(0)
        self.started = threading.Event()
        self.running = 0
        self.most_running = 0
        self.checked: list[str] = []
        self._lock = threading.Lock()

    def matches(self, password_hash: str, password: str) -> bool:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        self.started.set()
        acquired = self.turns.acquire(timeout=60)
        with self._lock:
            self.running -= 1
            self.checked.append(password)
        return acquired

    async def has_started(self) -> None:
        assert await asyncio.to_thread(self.started.wait, 60)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    made = Gate()
    monkeypatch.setattr(argon2_passwords, "_matches", made.matches)
    yield made
    made.turns.release(1000)


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    made = Argon2Passwords(max_waiting=2)
    yield made
    made.close()


def test_hashes_are_what_the_contract_says() -> None:
    """argon2id, 19 MiB, two passes, one lane; a fresh salt each time."""
    assert HASH.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hash_fault(HASH) is None
    assert hash_password("correct horse") != HASH


async def test_the_right_password_and_no_other(passwords: Argon2Passwords) -> None:
    """On real hashes; nobody's password is not even the dummy's."""
    assert await passwords.verify(HASH, "correct horse")
    assert not await passwords.verify(HASH, "wrong horse")
    assert not await passwords.verify(None, "correct horse")


async def test_one_password_however_its_accents_are_composed(passwords: Argon2Passwords) -> None:
    """A Mac's and a PC's keyboards send different bytes for the same text."""
    assert await passwords.verify(hash_password("caf\u00e9 au lait"), "cafe\u0301 au lait")


async def test_an_unknown_user_costs_one_check(gate: Gate, passwords: Argon2Passwords) -> None:
    """Of a dummy hash with the same parameters, and it is refused even if that should match."""
    gate.turns.release()
    assert not await passwords.verify(None, "x")
    assert gate.checked == ["x"]


async def test_one_runs_some_wait_and_the_next_is_told_to_come_back(
    gate: Gate, passwords: Argon2Passwords
) -> None:
    """One in its turn, two waiting, the fourth gets 503 at once; all others get their answer."""
    inside = [asyncio.create_task(passwords.verify(HASH, str(n))) for n in range(3)]
    await gate.has_started()
    assert passwords.waiting == 2
    with pytest.raises(Overloaded):
        await passwords.verify(HASH, "one too many")
    gate.turns.release(3)
    assert await asyncio.gather(*inside) == [True] * 3
    assert gate.most_running == 1
    assert gate.checked == ["0", "1", "2"]
    assert passwords.waiting == 0


async def test_who_leaves_frees_his_place(gate: Gate, passwords: Argon2Passwords) -> None:
    """A client that hung up while waiting is not hashed for, and another may wait."""
    inside = [asyncio.create_task(passwords.verify(HASH, str(n))) for n in range(3)]
    await gate.has_started()
    inside[1].cancel()
    await asyncio.wait({inside[1]})
    another = asyncio.create_task(passwords.verify(HASH, "another"))
    gate.turns.release(3)
    assert await asyncio.gather(inside[0], inside[2], another) == [True] * 3
    assert gate.checked == ["0", "2", "another"]


async def test_who_leaves_in_his_turn_keeps_it_until_the_hash_is_done(
    gate: Gate, passwords: Argon2Passwords
) -> None:
    """A hash under way cannot be stopped; a second one beside it would cost the memory twice."""
    leaver = asyncio.create_task(passwords.verify(HASH, "leaver"))
    await gate.has_started()
    leaver.cancel()
    await asyncio.wait({leaver})
    following = asyncio.create_task(passwords.verify(HASH, "following"))
    gate.turns.release(2)
    assert await following
    assert gate.most_running == 1
    assert gate.checked == ["leaver", "following"]
    assert passwords.waiting == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "$argon2id$",
        HASH.replace("argon2id", "argon2d"),
        HASH.replace("t=2", "t=3"),
        HASH.replace("p=1", "p=2"),
        "$2b$12$abcdefghijklmnopqrstuv",
    ],
    ids=["empty", "x", "no parts", "argon2d", "three passes", "two lanes", "bcrypt"],
)
def test_other_hashes_are_named_as_such(text: str) -> None:
    """Another cost would tell the clock which users exist."""
    assert hash_fault(text) is not None


async def test_addresses_take_turns(gate: Gate) -> None:
    """Who sends many at once is not checked before those who came after him with one."""
    passwords = Argon2Passwords(max_waiting=8)
    crowd = [
        asyncio.create_task(passwords.verify(HASH, f"crowd {n}", group="crowd")) for n in range(4)
    ]
    honest = asyncio.create_task(passwords.verify(HASH, "honest", group="honest"))
    await gate.has_started()
    gate.turns.release(5)
    await asyncio.gather(*crowd, honest)
    assert gate.checked == ["crowd 0", "crowd 1", "honest", "crowd 2", "crowd 3"]
    passwords.close()


async def test_a_crowd_makes_room_for_another_address(
    gate: Gate, passwords: Argon2Passwords
) -> None:
    """When all places are taken, its last one is turned away and not the newcomer."""
    crowd = [
        asyncio.create_task(passwords.verify(HASH, f"crowd {n}", group="crowd")) for n in range(3)
    ]
    await gate.has_started()
    honest = asyncio.create_task(passwords.verify(HASH, "honest", group="honest"))
    with pytest.raises(Overloaded):
        await crowd[2]
    gate.turns.release(3)
    assert await asyncio.gather(crowd[0], crowd[1], honest) == [True] * 3


async def test_what_refuses_in_its_turn_is_not_checked(
    gate: Gate, passwords: Argon2Passwords
) -> None:
    """And the turn goes on to the next."""

    async def refuse() -> None:
        raise Overloaded

    first = asyncio.create_task(passwords.verify(HASH, "first"))
    await gate.has_started()
    refused = asyncio.create_task(passwords.verify(HASH, "refused", in_turn=refuse))
    last = asyncio.create_task(passwords.verify(HASH, "last"))
    await asyncio.sleep(0)
    gate.turns.release(2)
    with pytest.raises(Overloaded):
        await refused
    assert await asyncio.gather(first, last) == [True, True]
    assert gate.checked == ["first", "last"]
