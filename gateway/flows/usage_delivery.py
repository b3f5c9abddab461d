"""Charges on their way to where usage is kept: added up, and delivered in batches.

An answer's end waits for nobody: what it cost is added to what waits. One batch travels at a time
and has a number, so that one whose answer was lost is sent again as it is and counts once. While
the store is away charges are added up here; what there is no room for is counted as lost. What a
worker that ends could not deliver is told in the log; one that is killed takes it along.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeVar

import structlog

from gateway.domain.usage import NOTHING, Account, KeyUse, Spent
from gateway.errors import SharedStateUnavailable
from gateway.ports import UsageStore

# So many accounts, and uses of keys, are kept at most while nobody takes them: some 3 MiB.
WAITING_MOST: Final = 10_000
AT_ONCE: Final = 200
RETRY_S: Final = 1.0
# Charges are gathered for so long: a busy worker calls a few times a second, and not once for each
# answer. What waits is added to what the store says, so that this worker knows it at once.
GATHER_S: Final = 0.05
# Uses of keys wait for charges to travel with, and for no longer than this.
USES_S: Final = 5.0
# How long a worker that ends tries to deliver the rest.
LAST_S: Final = 2.0

log = structlog.get_logger("gateway.usage")


class Deliveries:
    """What waits in this worker. ``run`` is its background work, ``aclose`` its end.

    Attributes:
        lost_tokens: what was charged and could not be kept.
    """

    def __init__(self, store: UsageStore) -> None:
        self._store = store
        self._spent: dict[Account, Spent] = {}
        self._used: dict[KeyUse, int] = {}
        self._number = 0
        self._batch: tuple[dict[Account, Spent], dict[KeyUse, int]] | None = None
        self._some = asyncio.Event()
        self._is_failing = False
        self.lost_tokens = 0

    @property
    def waiting(self) -> int:
        """Accounts and uses of keys that are still to be delivered."""
        under_way = 0 if self._batch is None else len(self._batch[0]) + len(self._batch[1])
        return len(self._spent) + len(self._used) + under_way

    def unsent(self, account: Account) -> Spent:
        """What waits here and is in no batch under way: the store will not tell of it."""
        return self._spent.get(account, NOTHING)

    def forget(self, account: Account) -> None:
        self._spent.pop(account, None)

    def unsent_uses(self, owner: str) -> dict[str, int]:
        """By key; with those of a batch under way: the later of two times is right in any case."""
        under_way = {} if self._batch is None else self._batch[1]
        uses = under_way | self._used
        return {use.key_id: at for use, at in uses.items() if use.owner == owner}

    def spend(self, accounts: Iterable[Account], spent: Spent) -> None:
        fits = True
        for account in accounts:
            known = self._spent.get(account)
            if known is None and len(self._spent) >= WAITING_MOST:
                fits = False
            else:
                self._spent[account] = spent if known is None else known + spent
        if not fits:
            self.lost_tokens += spent.total
        self._some.set()

    def use(self, use: KeyUse, now: int) -> None:
        """It travels with the next batch: a time that is some seconds old needs no call at once."""
        if use in self._used or len(self._used) < WAITING_MOST:
            self._used[use] = now

    async def run(self) -> None:
        while True:
            await self._wait()
            if not await self.deliver():
                await asyncio.sleep(RETRY_S)

    async def _wait(self) -> None:
        if self._spent or self._batch is not None:
            return
        self._some.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(USES_S):
                await self._some.wait()
                await asyncio.sleep(GATHER_S)

    async def deliver(self) -> bool:
        """Delivers a batch, where there is one; whether it arrived."""
        if self._batch is None:
            if not self._spent and not self._used:
                return True
            self._batch = _take(self._spent), _take(self._used)
            self._number += 1
        try:
            self.lost_tokens += await self._store.add(self._number, *self._batch)
        except SharedStateUnavailable as problem:
            self._complain(problem)
            return False
        self._batch, self._is_failing = None, False
        return True

    async def aclose(self) -> None:
        """What cannot be delivered within ``LAST_S`` is lost."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_S):
                while self.waiting and await self.deliver():
                    pass
        if self.waiting:
            log.error("usage lost: this worker ends and nobody takes it", accounts=self.waiting)

    def _complain(self, problem: SharedStateUnavailable) -> None:
        """Once, until it goes well again."""
        if not self._is_failing:
            cause = problem.__cause__ or problem
            log.warning("usage waits", reason=f"{type(cause).__name__}: {cause}")
        self._is_failing = True


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def _take(waiting: dict[_Key, _Value]) -> dict[_Key, _Value]:
    """The first of them, taken out."""
    return {key: waiting.pop(key) for key in list(islice(waiting, AT_ONCE))}
