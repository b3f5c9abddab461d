"""Made-up keys: their look-ups are few, and those who have a key notice nothing of them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.adapters.memory_state import Buckets, MemoryState, SharedMemory
from gateway.domain.api_keys import format_key, new_key_id, new_secret
from gateway.domain.key_checksums import KeyChecksums
from gateway.domain.limits import Rate
from gateway.errors import SharedStateUnavailable, Unauthenticated
from gateway.flows.authenticate import Authenticator
from gateway.flows.credentials import Credential
from gateway.flows.keys import Keys
from gateway.flows.unknown_keys import UnknownKeys, UnknownKeysLimited
from tests.unit.identity_fakes import (
    ALICE,
    Accounts,
    MemoryKeyStore,
    MovableClock,
    person,
    revocations_of,
)
from tests.unit.values import MEMORY, token_settings

TOKENS = token_settings(b"x" * 32, lifetime_s=3600)
CHECKSUMS = KeyChecksums([b"j" * 32], [b"k" * 32])
CROWD, HONEST = ("203.0.113.1", "203.0.113.2", "203.0.113.3"), "198.51.100.7"
IN_FLIGHT, A_SECOND, AT_ONCE = 8, 10, 40


class Setup:
    """An authenticator with limits; ``made`` gives keys of the old form or of the new one."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.store = MemoryKeyStore()
        self.state = MemoryState(SharedMemory(2, Buckets(64, 8, 8)), self.clock.monotonic)
        self.unknown = UnknownKeys(
            self.state, Rate(A_SECOND, 1.0, AT_ONCE), in_flight=IN_FLIGHT, max_known=100
        )
        self.authenticator = Authenticator(
            Accounts(ALICE),
            TOKENS,
            self.store,
            self.clock,
            revocations_of(self.clock).known,
            **MEMORY,
            checksums=CHECKSUMS,
            unknown=self.unknown,
        )

    async def made(self, checksums: KeyChecksums | None) -> tuple[str, str]:
        keys = Keys(
            self.store,
            self.clock,
            revocations_of(self.clock),
            actions=frozenset({"query:run"}),
            checksums=checksums,
        )
        record, text = await keys.create(person(ALICE), "k", ["query:run"], None, self.deadline())
        return record.key_id, text

    @staticmethod
    def deadline() -> float:
        return asyncio.get_running_loop().time() + 60.0

    async def ask(self, text: str, address: str) -> str:
        """What comes of a request with this key."""
        try:
            await self.authenticator.authenticate(
                Credential("api_key", text), self.deadline(), address
            )
        except Unauthenticated as refused:
            return str(refused.reason)
        except UnknownKeysLimited:
            return "limited"
        return "in"


@pytest.fixture
def setup() -> Setup:
    return Setup()


def made_up(checksums: KeyChecksums | None = None) -> str:
    return format_key(new_key_id(), new_secret(), checksums)


async def until_asked(store: MemoryKeyStore, times: int) -> None:
    while len(store.asked) < times:  # noqa: ASYNC110  # the store tells the first time only
        await asyncio.sleep(0)


async def test_a_made_up_key_of_the_new_form_costs_no_look_up(setup: Setup) -> None:
    """Also one that names a key there is."""
    key_id, text = await setup.made(CHECKSUMS)
    others = KeyChecksums([b"o" * 32], [b"p" * 32])
    for guess in (made_up(others), format_key(key_id, new_secret(), others)):
        assert await setup.ask(guess, CROWD[0]) == "key_malformed"
    assert setup.store.asked == []
    assert await setup.ask(text, CROWD[0]) == "in"


async def test_a_flood_of_made_up_keys_has_few_look_ups_under_way(setup: Setup) -> None:
    """Six hundred of the old form, on a store that does not answer: eight travel, and nobody waits
    who has a key, known or proved by its checksum."""
    _, known = await setup.made(None)
    assert await setup.ask(known, HONEST) == "in"
    _, fresh = await setup.made(CHECKSUMS)
    setup.clock.passed_s = 5.0
    setup.store.held, before = asyncio.Event(), len(setup.store.asked)
    crowd = [asyncio.create_task(setup.ask(made_up(), CROWD[n % 3])) for n in range(600)]
    await until_asked(setup.store, before + IN_FLIGHT)

    holders = [asyncio.create_task(setup.ask(text, HONEST)) for text in (known, fresh)]
    await until_asked(setup.store, before + IN_FLIGHT + 2)
    setup.store.held.set()

    assert await asyncio.gather(*holders) == ["in", "in"]
    assert Counter(await asyncio.gather(*crowd)) == {
        "key_unknown": IN_FLIGHT,
        "limited": 600 - IN_FLIGHT,
    }
    assert len(setup.store.asked) == before + IN_FLIGHT + 2


async def test_an_address_has_so_many_look_ups_a_second(setup: Setup) -> None:
    """On a fast store, too; another address has its own."""
    answers = Counter([await setup.ask(made_up(), CROWD[0]) for _ in range(200)])
    assert answers == {"key_unknown": AT_ONCE, "limited": 200 - AT_ONCE}
    assert await setup.ask(made_up(), HONEST) == "key_unknown"
    setup.clock.passed_s = 1.0
    answers = Counter([await setup.ask(made_up(), CROWD[0]) for _ in range(200)])
    assert answers == {"key_unknown": A_SECOND, "limited": 200 - A_SECOND}


async def test_what_is_known_already_is_not_limited(setup: Setup) -> None:
    """An unknown key that was looked up a moment ago is refused from memory."""
    guess = made_up()
    assert await setup.ask(guess, CROWD[0]) == "key_unknown"
    for _ in range(AT_ONCE):
        await setup.ask(made_up(), CROWD[0])
    assert await setup.ask(made_up(), CROWD[0]) == "limited"
    assert await setup.ask(guess, CROWD[0]) == "key_unknown"


async def test_wrong_secrets_for_a_known_id_are_one_look_up_at_a_time(setup: Setup) -> None:
    """Who knows an id cannot have the store asked as often as he asks."""
    key_id, text = await setup.made(None)
    assert await setup.ask(text, HONEST) == "in"
    setup.clock.passed_s = 1.0
    asked, setup.store.held = len(setup.store.asked), asyncio.Event()
    guesses = [
        asyncio.create_task(setup.ask(format_key(key_id, new_secret()), CROWD[n % 3]))
        for n in range(100)
    ]
    await until_asked(setup.store, asked + 1)
    setup.clock.passed_s = 1.1
    guesses += [
        asyncio.create_task(setup.ask(format_key(key_id, new_secret()), CROWD[n % 3]))
        for n in range(100)
    ]
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(setup.store.asked) == asked + 1
    setup.store.held.set()
    assert set(await asyncio.gather(*guesses)) == {"key_unknown"}
    assert len(setup.store.asked) == asked + 2


async def test_wrong_secrets_one_after_the_other_are_limited(setup: Setup) -> None:
    """Each would have the store asked again. The key's holder notices nothing."""
    key_id, text = await setup.made(CHECKSUMS)
    assert await setup.ask(text, HONEST) == "in"
    answers: Counter[str] = Counter()
    for _ in range(200):
        setup.clock.passed_s += 0.001
        answers[await setup.ask(format_key(key_id, new_secret()), CROWD[0])] += 1
    assert answers["limited"] >= 200 - AT_ONCE - 2
    assert await setup.ask(text, CROWD[0]) == "in"


async def test_where_nothing_counts_what_is_under_way_is_still_limited(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        raise SharedStateUnavailable

    monkeypatch.setattr(setup.state, "admit", down)
    setup.store.held = asyncio.Event()
    crowd = [asyncio.create_task(setup.ask(made_up(), CROWD[0])) for _ in range(50)]
    await until_asked(setup.store, IN_FLIGHT)
    setup.store.held.set()
    assert Counter(await asyncio.gather(*crowd))["limited"] == 50 - IN_FLIGHT


async def test_few_known_keys_are_remembered_and_the_latest_stay(setup: Setup) -> None:
    for number in range(150):
        setup.unknown.remember(str(number))
        setup.unknown.remember("0")
    assert setup.unknown.knows("0")
    assert setup.unknown.knows("149")
    assert not setup.unknown.knows("1")
