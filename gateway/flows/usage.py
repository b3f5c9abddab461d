"""Tokens: what answers cost, for whom, and who may ask no more until the next day or month.

The core is asked only where all quotas of the caller have something left. What an answer cost is
known at its end and charged then, so that answers under way together may cost more than was left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from gateway.domain.identity import Principal
from gateway.domain.limit_table import LimitTable, MalformedObligation
from gateway.domain.quotas import Quota, spent_quota
from gateway.domain.usage import (
    Account,
    KeyUse,
    Spent,
    account_of,
    accounts_of,
    cost_of,
    spender_of,
)
from gateway.errors import PolicyUnavailable, SharedStateUnavailable
from gateway.flows.answer_stream import Answer
from gateway.flows.usage_delivery import Deliveries
from gateway.ports import Clock, UsageStore

# A store that gave no answer is not asked for so long: nobody is to wait for it again and again.
AWAY_S: Final = 1.0

log = structlog.get_logger("gateway.usage")


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A quota, and what of it is spent."""

    quota: Quota
    account: Account
    used: int

    @property
    def left(self) -> int:
        return max(self.quota.tokens - self.used, 0)


class Usage:
    """The use case; one per worker, and none where no tokens are counted.

    Attributes:
        unchecked: how many questions were let in because nobody could say what was spent.
        charged: all tokens that this worker's answers cost.
    """

    def __init__(
        self, table: LimitTable, store: UsageStore, deliveries: Deliveries, clock: Clock
    ) -> None:
        self.table = table
        self.unchecked = 0
        self.charged = Spent()
        self._deliveries = deliveries
        self._store = store
        self._clock = clock
        self._away_until = 0.0
        self._is_failing = False

    @property
    def waiting(self) -> int:
        """Charges and uses of keys that are still to be delivered."""
        return self._deliveries.waiting

    @property
    def lost_tokens(self) -> int:
        """Tokens that were charged and could not be kept."""
        return self._deliveries.lost_tokens

    # --- before the core is asked -----------------------------------------------------------------

    async def refuse_spent(
        self, action: str, who: Principal, obligations: Mapping[str, Any]
    ) -> None:
        """Lets in who has tokens left. Fails open: what protects a budget must not end the service.

        Raises:
            QuotaExceeded
            PolicyUnavailable: the verdict's quotas are malformed, and nothing is in their place.
        """
        quotas = self._quotas_under(action, obligations)
        if not quotas:
            return
        try:
            found = await self._states(quotas, who)
        except SharedStateUnavailable as problem:
            self._let_in(problem)
            return
        self._is_failing = False
        if refusal := spent_quota([(one.quota, one.used) for one in found], self._clock.time()):
            raise refusal

    def _quotas_under(self, action: str, obligations: Mapping[str, Any]) -> tuple[Quota, ...]:
        try:
            return self.table.quotas_under(action, obligations)
        except MalformedObligation as problem:
            log.error("the policy's quotas are malformed", fault=problem.reason)
            raise PolicyUnavailable from problem

    async def _states(self, quotas: tuple[Quota, ...], who: Principal) -> list[QuotaState]:
        if self._clock.monotonic() < self._away_until:
            raise SharedStateUnavailable
        try:
            return await self.states(quotas, lambda per: spender_of(per, who))
        except SharedStateUnavailable:
            self._away_until = self._clock.monotonic() + AWAY_S
            raise

    async def states(
        self, quotas: Sequence[Quota], spender: Callable[[str], str | None]
    ) -> list[QuotaState]:
        """What is spent of quotas; ``spender`` says whom one counts, by its ``per``.

        Raises:
            SharedStateUnavailable
        """
        now = self._clock.time()
        asked = [
            (quota, account_of(quota.per, name, quota.period, now))
            for quota in quotas
            if (name := spender(quota.per)) is not None
        ]
        spent = await self.spent([account for _, account in asked])
        return [
            QuotaState(quota, account, one.total)
            for (quota, account), one in zip(asked, spent, strict=True)
        ]

    async def spent(self, accounts: Sequence[Account]) -> list[Spent]:
        """With what waits in this worker.

        Raises:
            SharedStateUnavailable
        """
        if not accounts:
            return []
        # Looked at before the store is asked: what leaves meanwhile is in its answer.
        unsent = [self._deliveries.unsent(account) for account in accounts]
        kept = await self._store.read([account.key for account in accounts])
        return [one + more for one, more in zip(kept, unsent, strict=True)]

    async def last_used(self, owner: str) -> Mapping[str, int]:
        """When the keys of ``tenant/subject`` were last used; raises ``SharedStateUnavailable``."""
        kept = await self._store.last_used(owner)
        return {**kept, **self._deliveries.unsent_uses(owner)}

    def _let_in(self, problem: SharedStateUnavailable) -> None:
        self.unchecked += 1
        if not self._is_failing:
            cause = problem.__cause__ or problem
            log.error("quotas not checked", reason=f"{type(cause).__name__}: {cause}")
        self._is_failing = True

    # --- what it cost -----------------------------------------------------------------------------

    def charge(self, who: Principal, answer: Answer) -> None:
        """To be called with the caller's answer when it is over, however it ended.

        A kept answer that is given again costs nothing: the core was not asked.
        """
        if answer.cached is not None and answer.cached.is_replayed:
            return
        spent = cost_of(answer.state, answer.asked_characters)
        if spent.total:
            self.charged += spent
            self._deliveries.spend(accounts_of(who, self._clock.time()), spent)

    def use_key(self, who: Principal) -> None:
        """The caller's key, if he has one, was used now."""
        if who.auth == "api_key":
            use = KeyUse(f"{who.tenant}/{who.subject}", who.credential_id)
            self._deliveries.use(use, int(self._clock.time()))
