"""Redis, and the replica's own memory while Redis is away.

There are three modes. *Shared*: all is counted in Redis. *Alone*: Redis gave no answer; all is
counted in the memory of this replica's workers, by ``domain.when_away``, and Redis is tried again
in the background. *Rejoining*: Redis answers again; for some seconds both have to say yes, and
both count.

Nobody gets a burst by Redis's return. Before a worker asks Redis again it tells it of every key it
charged alone how long the key needs, by the replica's memory, to be whole again; Redis takes the
longest that it hears. The replicas' shares together are never more than the limit, and the mean of
what they owe is never more than the longest: so Redis knows at least what the limit's own count
would be. Until the last replica is back, each of them keeps to its share besides.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Literal, Protocol, TypeVar

import structlog

from gateway.domain.limits import Budget, Charge, Lease, Outcome, Penalty
from gateway.domain.when_away import (
    ANNOUNCE_S,
    REJOIN_S,
    REPLICA_LIFE_S,
    RETRY_FIRST_S,
    RETRY_LONGEST_S,
    Owed,
    owed,
    share_of_charge,
    share_of_lease,
    share_of_penalty,
    told,
)
from gateway.errors import SharedStateUnavailable
from gateway.ports import SharedState

Mode = Literal["shared", "alone", "rejoining"]
Kept = TypeVar("Kept")

# What a worker remembers of the time alone; what is beyond it, the oldest first, is not told.
REMEMBERED_KEYS = 20_000
TOLD_AT_ONCE = 200
# The delays double with each failure: of one key no more are told.
TOLD_FAILURES = 20

log = structlog.get_logger("gateway.redis")


class Shared(SharedState, Protocol):
    """What all replicas count in; ``redis_state.RedisState`` is the real one.

    ``lost`` is called when its connection breaks, so that all replicas notice it at once.
    """

    lost: Callable[[SharedStateUnavailable], None]

    async def admit(
        self,
        charges: Sequence[Charge],
        leases: Sequence[Lease] = (),
        budgets: Sequence[Budget] = (),
        owed: Sequence[Owed] = (),
    ) -> Sequence[Outcome]: ...

    async def announce(self, life_s: float) -> int: ...


class FallbackState:
    """Implements ``ports.SharedState``; never unavailable. ``run`` is its background work.

    Attributes:
        mode: where it counts now.
        replicas: how many there were when they were last counted.
        losses: how often Redis was lost.
    """

    def __init__(
        self, shared: Shared, alone: SharedState, clock: Callable[[], float], random: Random
    ) -> None:
        self._shared, self._alone = shared, alone
        self._clock, self._random = clock, random
        self.mode: Mode = "shared"
        self.replicas = 1
        self.losses = 0
        self._most_seen_at = -REPLICA_LIFE_S
        self._rejoined_at = 0.0
        self._problem: BaseException | None = None
        self._lost = asyncio.Event()
        # This worker's leases, and what it counted alone, for when the place of counting changes.
        self._held: Counter[str] = Counter()
        self._moved = True
        self._charged: dict[str, Charge] = {}
        self._failures: dict[str, tuple[int, Penalty]] = {}
        shared.lost = self._lose

    # --- Rates and leases ------------------------------------------------------------------------

    async def admit(
        self,
        charges: Sequence[Charge],
        leases: Sequence[Lease] = (),
        budgets: Sequence[Budget] = (),
    ) -> Sequence[Outcome]:
        """As the port says; what was spent of ``budgets`` only Redis knows."""
        outcomes = await self._admit(charges, leases, budgets)
        if leases and all(outcome.passed for outcome in outcomes):
            self._held.update(lease.key for lease in leases)
        return outcomes

    async def _admit(
        self, charges: Sequence[Charge], leases: Sequence[Lease], budgets: Sequence[Budget]
    ) -> Sequence[Outcome]:
        if self.mode == "shared":
            try:
                return await self._shared.admit(charges, leases, budgets)
            except SharedStateUnavailable as problem:
                self._lose(problem)
        alone = await self._admit_alone(charges, leases)
        if self.mode == "rejoining" and all(outcome.passed for outcome in alone):
            return await self._admit_in_both(charges, leases, budgets, alone)
        return alone

    async def _admit_alone(
        self, charges: Sequence[Charge], leases: Sequence[Lease]
    ) -> Sequence[Outcome]:
        await self._move()
        outcomes = await self._alone.admit(*self._shares(charges, leases))
        if all(outcome.passed for outcome in outcomes):
            for charge in charges:
                _remember(self._charged, charge.key, charge)
        return outcomes

    async def _admit_in_both(
        self,
        charges: Sequence[Charge],
        leases: Sequence[Lease],
        budgets: Sequence[Budget],
        alone: Sequence[Outcome],
    ) -> Sequence[Outcome]:
        """What Redis refuses stays charged in memory: for a moment less passes, never more."""
        try:
            both = await self._shared.admit(charges, leases, budgets)
        except SharedStateUnavailable as problem:
            self._lose(problem)
            return alone
        except asyncio.CancelledError:
            # Nobody will give back what memory gave; Redis's adapter does so for itself.
            self._alone.release([lease.key for lease in leases])
            raise
        if not all(outcome.passed for outcome in both):
            self._alone.release([lease.key for lease in leases])
        return both

    async def peek(
        self, charges: Sequence[Charge], leases: Sequence[Lease] = ()
    ) -> Sequence[Outcome]:
        if self.mode != "alone":
            try:
                return await self._shared.peek(charges, leases)
            except SharedStateUnavailable as problem:
                self._lose(problem)
        await self._move()
        return await self._alone.peek(*self._shares(charges, leases))

    def release(self, keys: Sequence[str]) -> None:
        for key in keys:
            if self._held[key] > 1:
                self._held[key] -= 1
            else:
                del self._held[key]
        if self.mode != "alone":
            self._shared.release(keys)
        if self.mode != "shared":
            self._alone.release(keys)

    async def renew(self, held: Mapping[str, int]) -> None:
        self._held = Counter(held)
        if self.mode != "shared":
            self._moved = True
            await self._alone.renew(held)
        if self.mode != "alone":
            try:
                await self._shared.renew(held)
            except SharedStateUnavailable as problem:
                self._lose(problem)
                await self._move()

    async def reset(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._charged.pop(key, None)
            self._failures.pop(key, None)
        await self._alone.reset(keys)
        if self.mode != "alone":
            await self._shared.reset(keys)

    # --- Failures --------------------------------------------------------------------------------

    async def wait_s(self, keys: Sequence[str]) -> Sequence[float]:
        waits = await self._alone.wait_s(keys) if self.mode != "shared" else [0.0] * len(keys)
        if self.mode == "alone":
            return waits
        try:
            return list(map(max, waits, await self._shared.wait_s(keys)))
        except SharedStateUnavailable as problem:
            self._lose(problem)
            return await self._alone.wait_s(keys)

    async def failed(self, keys: Sequence[str], penalty: Penalty) -> Sequence[float]:
        delays: Sequence[float] = [0.0] * len(keys)
        if self.mode != "alone":
            try:
                delays = await self._shared.failed(keys, penalty)
            except SharedStateUnavailable as problem:
                self._lose(problem)
        if self.mode == "shared":
            return delays
        if self.mode == "alone":
            for key in keys:
                times, _ = self._failures.get(key, (0, penalty))
                _remember(self._failures, key, (min(times + 1, TOLD_FAILURES), penalty))
        own = await self._alone.failed(keys, share_of_penalty(penalty, self.replicas))
        return list(map(max, delays, own))

    async def forgive(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._failures.pop(key, None)
        if self.mode != "shared":
            await self._alone.forgive(keys)
        if self.mode != "alone":
            try:
                await self._shared.forgive(keys)
            except SharedStateUnavailable as problem:
                self._lose(problem)

    # --- Whether Redis is there ------------------------------------------------------------------

    async def check(self) -> None:
        if self.mode == "alone":
            last_seen = f"replicas last seen: {self.replicas}"
            raise SharedStateUnavailable(
                f"Redis is away ({_why(self._problem)}), {last_seen}; {told()}"
            )
        await self._shared.check()

    async def run(self) -> None:
        """Says that this replica is there, counts the others, and asks a lost Redis again."""
        failures = 0
        while True:
            await self.look()
            failures = failures + 1 if self.mode == "alone" else 0
            await self._pause(failures)
            self.settle()

    async def look(self) -> None:
        """One round of it; a lost Redis that answers is used again."""
        try:
            self._count(await self._shared.announce(REPLICA_LIFE_S))
            if self.mode == "alone":
                await self._rejoin()
        except SharedStateUnavailable as problem:
            self._lose(problem)

    def settle(self) -> None:
        """Once all replicas had time to come back, Redis alone decides again."""
        if self.mode == "rejoining" and self._clock() >= self._rejoined_at + REJOIN_S:
            self._charged.clear()
            self.mode = "shared"

    async def _pause(self, failures: int) -> None:
        if self.mode == "alone":
            longest = min(RETRY_FIRST_S * 2.0 ** min(failures, 10), RETRY_LONGEST_S)
            # Not all workers at the same moment.
            await asyncio.sleep(longest * self._random.uniform(0.5, 1.0))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANNOUNCE_S):
                await self._lost.wait()
        self._lost.clear()

    def _count(self, replicas: int) -> None:
        """The most of the last seconds: an emptied Redis hears of them one after the other."""
        now = self._clock()
        if replicas >= self.replicas or now >= self._most_seen_at + REPLICA_LIFE_S:
            self.replicas, self._most_seen_at = max(replicas, 1), now

    def _lose(self, problem: SharedStateUnavailable) -> None:
        if self.mode == "alone":
            return
        self.mode, self._moved = "alone", False
        self._problem = problem.__cause__ or problem
        self.losses += 1
        self._lost.set()
        log.warning("redis lost: this replica counts alone", reason=_why(self._problem))

    async def _move(self) -> None:
        """The leases of this worker's streams, which were in Redis alone."""
        if not self._moved:
            self._moved = True
            await self._alone.renew(dict(self._held))

    async def _rejoin(self) -> None:
        """Whatever is charged while the rest is told is told by the next round, or by the next
        charge of its key."""
        await self._shared.renew(dict(self._held))
        await self._tell_failures()
        await self._tell_charges()
        self.mode, self._rejoined_at = "rejoining", self._clock()
        log.info("redis is back", replicas=self.replicas)
        await self._shared.renew(dict(self._held))
        await self._tell_charges()

    async def _tell_charges(self) -> None:
        """Of all keys that are remembered now; of each the replica's own memory knows the state."""
        for _ in range(0, len(self._charged), TOLD_AT_ONCE):
            keys = list(islice(self._charged, TOLD_AT_ONCE))
            # Taken out first: what is charged meanwhile is remembered anew.
            some = [self._charged.pop(key) for key in keys]
            try:
                await self._tell(some)
            except SharedStateUnavailable:
                self._charged = {one.key: one for one in some} | self._charged
                raise

    async def _tell(self, charges: Sequence[Charge]) -> None:
        shares = [share_of_charge(replace(one, cost=1), self.replicas) for one in charges]
        outcomes = await self._alone.peek(shares)
        all_owed = [owed(*each, self.replicas) for each in zip(shares, outcomes, strict=True)]
        await self._shared.admit([replace(one, cost=0) for one in charges], owed=all_owed)

    async def _tell_failures(self) -> None:
        """One of each of some keys in a call: of a flood there are as many keys as are remembered,
        and nobody is back before all are told."""
        while self._failures:
            _, penalty = next(iter(self._failures.values()))
            alike = (key for key, (_, one) in self._failures.items() if one == penalty)
            keys = list(islice(alike, TOLD_AT_ONCE))
            await self._shared.failed(keys, penalty)
            for key in keys:
                self._told_failure(key)

    def _told_failure(self, key: str) -> None:
        """It may have been forgiven meanwhile."""
        times, penalty = self._failures.pop(key, (0, None))
        if penalty is not None and times > 1:
            self._failures[key] = times - 1, penalty

    def _shares(
        self, charges: Sequence[Charge], leases: Sequence[Lease]
    ) -> tuple[list[Charge], list[Lease]]:
        return (
            [share_of_charge(charge, self.replicas) for charge in charges],
            [share_of_lease(lease, self.replicas) for lease in leases],
        )


def _why(problem: BaseException | None) -> str:
    return "never asked" if problem is None else f"{type(problem).__name__}: {problem}"


def _remember(kept: dict[str, Kept], key: str, what: Kept) -> None:
    if key not in kept and len(kept) >= REMEMBERED_KEYS:
        del kept[next(iter(kept))]
    kept[key] = what
