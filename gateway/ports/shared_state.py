"""What is counted together: rates, open streams, failed logins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.domain.limits import Budget, Charge, Lease, Outcome, Penalty


class SharedState(Protocol):
    """What is counted together by all workers: of all replicas in Redis, of one in its memory.

    Raises ``SharedStateUnavailable``. Keys are short texts that name what is counted, such as
    ``"query:run/subject/acme/ada"``. A lease is free by itself ``LEASE_S`` after its worker last
    renewed it; what this worker holds is told apart from what all others do.
    """

    async def admit(
        self,
        charges: Sequence[Charge],
        leases: Sequence[Lease] = (),
        budgets: Sequence[Budget] = (),
    ) -> Sequence[Outcome]:
        """Asks for all of them in one round trip; nothing is charged or leased unless all pass.

        Gives an outcome for each, in the order of the arguments; for budgets none at all where
        nobody can say now what was spent, and then they keep nobody out.
        """

    async def peek(
        self, charges: Sequence[Charge], leases: Sequence[Lease] = ()
    ) -> Sequence[Outcome]:
        """The outcomes that ``admit`` would give; changes nothing."""

    def release(self, keys: Sequence[str]) -> None:
        """Gives back one lease of each key; waits for nothing, and may be repeated by a renewal."""

    async def renew(self, held: Mapping[str, int]) -> None:
        """How many leases this worker holds of each key: all of them, whatever was known before."""

    async def reset(self, keys: Sequence[str]) -> None:
        """Forgets what was counted under these keys: charges, leases and failures."""

    async def wait_s(self, keys: Sequence[str]) -> Sequence[float]:
        """How long the next attempt under each key has to wait after its failures, in seconds."""

    async def failed(self, keys: Sequence[str], penalty: Penalty) -> Sequence[float]:
        """Counts one more failure under each key; gives the delays that follow, in seconds."""

    async def forgive(self, keys: Sequence[str]) -> None:
        """Forgets the failures under these keys."""

    async def check(self) -> None:
        """Raises what is wrong with it."""
