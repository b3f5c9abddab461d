"""How much is allowed: the limits of a request, asked for at the moments when they are known.

Address limits are asked for before anybody is identified, from the replica's own memory, so that a
flood costs no round trip. All others are asked for after the policy's verdict, which may change
them, in one call: nothing is charged unless all pass. A question's quotas travel along
(``flows.usage``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from gateway.domain.identity import Principal
from gateway.domain.limit_counts import (
    Asked,
    Found,
    asked_of,
    asked_under,
    key_of,
    network_of,
)
from gateway.domain.limit_rules import Limit
from gateway.domain.limit_table import LimitTable, MalformedObligation
from gateway.domain.limits import Budget, Charge, Outcome
from gateway.domain.quotas import Quota
from gateway.errors import PolicyUnavailable, SharedStateUnavailable
from gateway.flows.leases import Held, Leases
from gateway.ports import Clock, SharedState

log = structlog.get_logger("gateway.limits")

# How often the log says what would otherwise be said of every request.
COMPLAINT_S = 10.0


class Limits:
    """The use case; one per worker, and none where nothing is limited and no tokens are counted.

    Attributes:
        unchecked: how many requests were let in because nobody could say how much they had.
    """

    def __init__(
        self,
        limits: Sequence[Limit | Quota],
        *,
        shared: SharedState,
        replica: SharedState,
        leases: Leases,
        clock: Clock,
        counts_tokens: bool = False,
    ) -> None:
        """``shared`` counts for all replicas, ``replica`` for the workers of this one.

        ``leases`` keeps what ``shared`` gives of open streams. ``counts_tokens``: whether a verdict
        may name quotas.
        """
        self.table = LimitTable(limits, counts_tokens=counts_tokens)
        self.unchecked = 0
        self._shared = shared
        self._replica = replica
        self._leases = leases
        self._complaints = _Complaints(clock.monotonic)

    async def of_address(
        self, action: str, address: str, counted: Sequence[str] = ()
    ) -> list[Found]:
        """What the limits per address say; an address that is not known is not counted.

        Args:
            counted: what this request was counted as before: the limits of that have it already.
        """
        limits = self.table.of_address(action)
        if counted:
            limits = tuple(one for one in limits if not any(map(one.covers, counted)))
        if not limits or not address:
            return []
        return await self._of_one(limits, network_of(address), self._replica)

    async def of_account(self, typed_digest: str) -> list[Found]:
        """What the limits per account say of a login, whether the account exists or not."""
        return await self._of_one(self.table.accounts, typed_digest, self._shared)

    async def of_caller(
        self,
        action: str,
        who: Principal,
        obligations: Mapping[str, Any],
        budgets: Sequence[Budget] = (),
    ) -> tuple[list[Found], Held | None, Sequence[Outcome]]:
        """What all limits of an allowed request say, the leases it got, and what its budgets say.

        Nothing is charged where a budget is spent; where nobody knows there are no outcomes.

        Raises:
            PolicyUnavailable: the verdict's limits are malformed, and nothing is in their place.
        """
        limits = self._limits_under(action, obligations)
        asked = asked_of(limits, who)
        outcomes = await self._admit(asked, self._shared, budgets)
        if not outcomes:
            return [], None, ()
        counted = len(asked.limits)
        found, spent = asked.found(outcomes[:counted]), outcomes[counted:]
        if not asked.leases or not all(one.passed for one in outcomes):
            return found, None, spent
        return found, self._leases.hold([lease.key for lease in asked.leases]), spent

    async def look(self, per: str, counted: str, *, forget: bool = False) -> list[Found]:
        """What one more request would find, for an operator; then perhaps all of it is forgotten.

        By the configured numbers, as those of a plan are only known with a verdict.

        Args:
            counted: ``tenant/name`` of a subject, a key's id, a tenant, an address, or an account's
                digest.

        Raises:
            SharedStateUnavailable
        """
        limits = [one for one in self.table.limits if one.per == per]
        state, who = self._shared, counted
        if per == "address":
            state, who = self._replica, network_of(counted)
        asked = asked_under(limits, lambda _: who)
        found = asked.found(await state.peek(asked.charges, asked.leases))
        if forget:
            keys = [charge.key for charge in asked.charges]
            await state.reset(keys + [lease.key for lease in asked.leases])
        return found

    async def left(
        self, obligations: Mapping[str, Any], counted_for: Callable[[str], str | None]
    ) -> list[Found]:
        """What one more request would find of every limit of a caller; charges nothing.

        Args:
            counted_for: whom a limit counts, by its ``per``; ``None`` is nobody.

        Raises:
            SharedStateUnavailable
        """
        limits = self.table.of_any_action(obligations)
        asked = asked_under(limits, counted_for)
        if not asked.limits:
            return []
        return asked.found(await self._shared.peek(asked.charges, asked.leases))

    def _limits_under(self, action: str, obligations: Mapping[str, Any]) -> tuple[Limit, ...]:
        if not obligations:
            return self.table.of_caller(action)
        try:
            return self.table.under(action, obligations, self._complain)
        except MalformedObligation as problem:
            raise PolicyUnavailable from problem

    async def _of_one(
        self, limits: Sequence[Limit], counted: str, state: SharedState
    ) -> list[Found]:
        charges = [
            Charge(key_of(limit, counted), limit.rate) for limit in limits if limit.rate is not None
        ]
        asked = Asked(limits, charges, ())
        return asked.found(await self._admit(asked, state))

    async def _admit(
        self, asked: Asked, state: SharedState, budgets: Sequence[Budget] = ()
    ) -> Sequence[Outcome]:
        """Nothing where there is nothing to ask for, or nobody to ask."""
        if not asked.limits and not budgets:
            return ()
        try:
            return await state.admit(asked.charges, asked.leases, budgets)
        except SharedStateUnavailable as problem:
            # Fails open. Whoever counts has a fallback of its own, so that this is a fault of ours:
            # a limiter that is broken must not be what keeps everybody out.
            self.unchecked += 1
            self._complaints.say("limits not counted", reason=str(problem))
            return ()

    def _complain(self, fault: str) -> None:
        self._complaints.say("the policy's limits are malformed", fault=fault)


class _Complaints:
    """Says the same at most once in ``COMPLAINT_S``, and how often it was not said."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: dict[str, tuple[float, int]] = {}

    def say(self, event: str, **fields: str) -> None:
        now = self._now()
        said_at, unsaid = self._said.get(event, (-COMPLAINT_S, 0))
        if now - said_at < COMPLAINT_S:
            self._said[event] = said_at, unsaid + 1
            return
        self._said[event] = now, 0
        log.error(event, **fields, unsaid=unsaid)
