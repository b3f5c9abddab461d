"""A ``SharedState`` in one process, by the rules in ``domain/limits.py`` and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from gateway.domain.limits import (
    Budget,
    Charge,
    Counted,
    Lease,
    Outcome,
    Penalty,
    charged,
    leased,
)
from gateway.errors import SharedStateUnavailable


class CountingState:
    """Attributes: ``calls`` is how often it was asked, ``held`` the leases; ``down`` refuses."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.counted: dict[str, Counted] = {}
        self.held: Counter[str] = Counter()
        self.calls: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
        self.down = False

    async def admit(
        self,
        charges: Sequence[Charge],
        leases: Sequence[Lease] = (),
        budgets: Sequence[Budget] = (),
    ) -> Sequence[Outcome]:
        self.calls.append((tuple(c.key for c in charges), tuple(one.key for one in leases)))
        outcomes, after = self._ask(charges, leases)
        if all(one.passed for one in outcomes):
            self.counted.update(after)
            self.held.update(one.key for one in leases)
        return outcomes

    async def peek(
        self, charges: Sequence[Charge], leases: Sequence[Lease] = ()
    ) -> Sequence[Outcome]:
        return self._ask(charges, leases)[0]

    def _ask(
        self, charges: Sequence[Charge], leases: Sequence[Lease]
    ) -> tuple[list[Outcome], dict[str, Counted]]:
        if self.down:
            raise SharedStateUnavailable("it is down")
        outcomes, after = [], {}
        for one in charges:
            known = self.counted.get(one.key, Counted(0.0))
            outcome, after[one.key] = charged(one.rate, one.cost, known, self._clock())
            outcomes.append(outcome)
        outcomes += [leased(one.most, self.held[one.key]) for one in leases]
        return outcomes, after

    def release(self, keys: Sequence[str]) -> None:
        self.held.subtract(keys)
        self.held += Counter()

    async def renew(self, held: Mapping[str, int]) -> None:
        self.held = Counter(held)

    async def reset(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.counted.pop(key, None)
            self.held.pop(key, None)

    async def wait_s(self, keys: Sequence[str]) -> Sequence[float]:
        return [0.0 for _ in keys]

    async def failed(self, keys: Sequence[str], penalty: Penalty) -> Sequence[float]:
        return [0.0 for _ in keys]

    async def forgive(self, keys: Sequence[str]) -> None:
        return None

    async def check(self) -> None:
        return None
