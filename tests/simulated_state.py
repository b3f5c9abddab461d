"""Shared state over a clock that tests move, by the rules of the domain alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.domain.limits import (
    Budget,
    Charge,
    Counted,
    Lease,
    Outcome,
    Penalty,
    budgeted,
    charged,
    leased,
)
from gateway.domain.when_away import Owed
from gateway.errors import SharedStateUnavailable


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Simulated:
    """``up`` is whether it answers; any clock will do."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.up, self.replicas = clock, True, 1
        self.rates: dict[str, float] = {}
        self.held: dict[str, int] = {}
        self.failures: dict[str, tuple[int, float]] = {}
        # Tokens; nothing where it cannot say.
        self.spent: dict[str, int] | None = None

    def _answer(self) -> None:
        if not self.up:
            raise SharedStateUnavailable() from ConnectionError("refused")

    async def admit(
        self,
        charges: Sequence[Charge],
        leases: Sequence[Lease] = (),
        budgets: Sequence[Budget] = (),
        owed: Sequence[Owed] = (),
    ) -> Sequence[Outcome]:
        self._answer()
        outcomes, after = self._look(charges, leases)
        if self.spent is not None:
            outcomes += [budgeted(one.most, self.spent.get(one.key, 0)) for one in budgets]
        if all(outcome.passed for outcome in outcomes):
            for index, charge in enumerate(charges):
                self.rates[charge.key] = after[index]
                if owed:
                    self.rates[charge.key] = self._with(owed[index], charge, after[index])
            for lease in leases:
                self.held[lease.key] = self.held.get(lease.key, 0) + 1
        return outcomes

    def _with(self, owed: Owed, charge: Charge, full_at: float) -> float:
        now, room_s = self.clock(), charge.rate.interval_s * charge.rate.burst
        beside = min(max(full_at, now) + owed.beside_s, now + room_s)
        return max(full_at, now + owed.least_s, beside)

    async def peek(
        self, charges: Sequence[Charge], leases: Sequence[Lease] = ()
    ) -> Sequence[Outcome]:
        self._answer()
        return self._look(charges, leases)[0]

    def _look(
        self, charges: Sequence[Charge], leases: Sequence[Lease]
    ) -> tuple[list[Outcome], list[float]]:
        outcomes, after = [], []
        for one in charges:
            before = Counted(self.rates.get(one.key, 0.0))
            outcome, counted = charged(one.rate, one.cost, before, self.clock())
            outcomes.append(outcome)
            after.append(counted.full_at)
        outcomes += [leased(lease.most, self.held.get(lease.key, 0)) for lease in leases]
        return outcomes, after

    def release(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.held[key] = max(self.held.get(key, 0) - 1, 0)

    async def renew(self, held: dict[str, int]) -> None:
        self._answer()
        self.held.update(held)

    async def reset(self, keys: Sequence[str]) -> None:
        self._answer()
        for key in keys:
            for kept in (self.rates, self.held, self.failures):
                kept.pop(key, None)

    async def wait_s(self, keys: Sequence[str]) -> Sequence[float]:
        self._answer()
        return [max(self.failures.get(key, (0, 0.0))[1] - self.clock(), 0.0) for key in keys]

    async def failed(self, keys: Sequence[str], penalty: Penalty) -> Sequence[float]:
        self._answer()
        for key in keys:
            times = self.failures.get(key, (0, 0.0))[0] + 1
            self.failures[key] = (times, self.clock() + penalty.delay_s(times))
        return await self.wait_s(keys)

    async def forgive(self, keys: Sequence[str]) -> None:
        self._answer()
        for key in keys:
            self.failures.pop(key, None)

    async def announce(self, life_s: float) -> int:
        self._answer()
        return self.replicas

    async def check(self) -> None:
        self._answer()
