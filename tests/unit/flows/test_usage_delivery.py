"""Charges arrive once: delayed, repeated, or counted as lost, and never twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from gateway.domain.limit_table import LimitTable
from gateway.domain.usage import Account, KeyUse, Spent
from gateway.errors import SharedStateUnavailable
from gateway.flows import usage_delivery
from gateway.flows.usage import Usage
from gateway.flows.usage_delivery import AT_ONCE, WAITING_MOST, Deliveries
from tests.unit.identity_fakes import MovableClock


class Store:
    """Adds as the real one does. ``away``: no call arrives; ``deaf``: no answer does."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}
        self.used: dict[KeyUse, int] = {}
        self.numbers: list[int] = []
        self.away = self.deaf = False
        self.added = asyncio.Event()

    async def add(
        self, number: int, spent: Mapping[Account, Spent], used: Mapping[KeyUse, int]
    ) -> int:
        if self.away:
            raise SharedStateUnavailable
        if number not in self.numbers[-1:]:
            self.numbers.append(number)
            self.added.set()
            self.used.update(used)
            for account, one in spent.items():
                self.kept[account.key] = self.kept.get(account.key, 0) + one.total
        if self.deaf:
            raise SharedStateUnavailable
        return 0

    async def read(self, keys: Sequence[str]) -> Sequence[Spent]:
        raise NotImplementedError

    async def forget(self, keys: Sequence[str]) -> None:
        raise NotImplementedError

    async def last_used(self, owner: str) -> Mapping[str, int]:
        found = {use.key_id: at for use, at in self.used.items() if use.owner == owner}
        await self.meanwhile()
        return found

    async def meanwhile(self) -> None:
        """What happens between a question to the store and its answer."""


ONE, OTHER = Account("one", 0), Account("other", 0)


async def test_a_batch_whose_answer_was_lost_counts_once() -> None:
    """What is charged meanwhile travels in the next one."""
    store = Store()
    deliveries = Deliveries(store)
    deliveries.spend([ONE, OTHER], Spent(2, 3))
    store.deaf = True
    assert not await deliveries.deliver()
    deliveries.spend([ONE], Spent(estimated=10))
    assert deliveries.unsent(ONE) == Spent(estimated=10)
    assert deliveries.unsent(OTHER) == Spent()
    store.deaf = False
    assert await deliveries.deliver()
    assert await deliveries.deliver()
    assert (store.kept, store.numbers) == ({"one": 15, "other": 5}, [1, 2])
    assert (deliveries.waiting, deliveries.lost_tokens) == (0, 0)


async def test_what_there_is_no_room_for_is_lost_and_counted() -> None:
    """Whoever is known already has room; a charge of which a part is lost is lost once."""
    store = Store()
    store.away = True
    deliveries = Deliveries(store)
    for number in range(WAITING_MOST):
        deliveries.spend([Account(str(number), 0)], Spent(1))
    deliveries.spend([Account("0", 0)], Spent(5))
    deliveries.spend([ONE, OTHER], Spent(7))
    for number in range(WAITING_MOST + 3):
        deliveries.use(KeyUse("acme/ada", str(number)), 1)

    assert (deliveries.waiting, deliveries.lost_tokens) == (2 * WAITING_MOST, 7)
    store.away = False
    while deliveries.waiting:
        assert await deliveries.deliver()
    assert (sum(store.kept.values()), store.kept["0"]) == (WAITING_MOST + 5, 6)
    assert len(store.numbers) == WAITING_MOST // AT_ONCE


async def test_charges_are_delivered_by_themselves() -> None:
    store = Store()
    deliveries = Deliveries(store)
    running = asyncio.create_task(deliveries.run())
    await asyncio.sleep(0)
    deliveries.spend([ONE], Spent(1))
    async with asyncio.timeout(30):
        await store.added.wait()
    running.cancel()
    assert store.kept == {"one": 1}


async def test_a_worker_that_ends_delivers_the_rest() -> None:
    store = Store()
    deliveries = Deliveries(store)
    deliveries.spend([ONE], Spent(1))
    deliveries.use(KeyUse("acme/ada", "k"), 9)
    await deliveries.aclose()
    assert (store.kept, store.used) == ({"one": 1}, {KeyUse("acme/ada", "k"): 9})

    store.away = True
    deliveries.spend([ONE], Spent(1))
    async with asyncio.timeout(usage_delivery.LAST_S * 10):
        await deliveries.aclose()
    assert deliveries.waiting == 1


async def test_a_use_of_a_key_is_seen_while_it_travels() -> None:
    """Before it leaves, under way, while the store is asked, and when it has arrived."""
    store = Store()
    deliveries = Deliveries(store)
    usage = Usage(LimitTable([], counts_tokens=True), store, deliveries, MovableClock())
    store.used[KeyUse("acme/ada", "k")] = 5
    deliveries.use(KeyUse("acme/ada", "k"), 9)
    deliveries.use(KeyUse("acme/bob", "l"), 9)
    assert await usage.last_used("acme/ada") == {"k": 9}

    store.away = True
    assert not await deliveries.deliver()
    assert await usage.last_used("acme/ada") == {"k": 9}

    async def arrives() -> None:
        store.away = False
        assert await deliveries.deliver()

    store.meanwhile = arrives  # type: ignore[method-assign]
    assert await usage.last_used("acme/ada") == {"k": 9}
    assert await usage.last_used("acme/ada") == {"k": 9}
    assert deliveries.waiting == 0
