"""Tokens: what answers cost, for whom, and who may ask no more until the next day or month.

The core is asked only where all quotas of the caller have something left; ``flows.limits`` asks for
them together with the limits. What an answer cost is known at its end and charged then, so that
answers under way together may cost more than was left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from gateway.domain.identity import Principal
from gateway.domain.limit_table import LimitTable, MalformedObligation
from gateway.domain.limits import Outcome
from gateway.domain.quotas import Quota, spent_quota
from gateway.domain.usage import (
    Account,
    AskedQuota,
    KeyUse,
    QuotaState,
    Spent,
    account_of,
    accounts_of,
    cost_of,
    spender_of,
)
from gateway.errors import PolicyUnavailable
from gateway.flows.answer_stream import Answer
from gateway.flows.usage_delivery import Deliveries
from gateway.ports import Clock, UsageStore

log = structlog.get_logger("gateway.usage")


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

    def asked(
        self, action: str, who: Principal, obligations: Mapping[str, Any]
    ) -> list[AskedQuota]:
        """The quotas that a question has to ask for: those of the settings or of the verdict.

        Raises:
            PolicyUnavailable: the verdict's quotas are malformed, and nothing is in their place.
        """
        try:
            quotas = self.table.quotas_under(action, obligations)
        except MalformedObligation as problem:
            log.error("the policy's quotas are malformed", fault=problem.reason)
            raise PolicyUnavailable from problem
        return self._asked(quotas, lambda per: spender_of(per, who))

    def _asked(
        self, quotas: Sequence[Quota], spender: Callable[[str], str | None]
    ) -> list[AskedQuota]:
        """With what waits in this worker: what leaves it later is in no answer of the store."""
        if not quotas:
            return []
        now, unsent = self._clock.time(), self._deliveries.unsent
        accounts = [
            (quota, account_of(quota.per, name, quota.period, now))
            for quota in quotas
            if (name := spender(quota.per)) is not None
        ]
        return [AskedQuota(quota, account, unsent(account).total) for quota, account in accounts]

    def found(
        self, asked: Sequence[AskedQuota], outcomes: Sequence[Outcome]
    ) -> tuple[QuotaState, ...]:
        """What is spent of each, by the outcomes of their budgets; nothing where nobody knew."""
        if not outcomes:
            return ()
        self._is_failing = False
        return tuple(
            QuotaState(one.quota, one.account, one.quota.tokens - outcome.left)
            for one, outcome in zip(asked, outcomes, strict=True)
        )

    def refuse_spent(self, found: Sequence[QuotaState]) -> None:
        """Raises ``QuotaExceeded`` where one of them has nothing left."""
        if any(one.used >= one.quota.tokens for one in found):
            refusal = spent_quota([(one.quota, one.used) for one in found], self._clock.time())
            assert refusal is not None
            raise refusal

    def let_in(self) -> None:
        """A question goes on though nobody knows what was spent: what protects a budget must not
        end the service."""
        self.unchecked += 1
        if not self._is_failing:
            log.error("quotas not checked: nobody can say what was spent")
        self._is_failing = True

    # --- what was spent ---------------------------------------------------------------------------

    async def states(
        self, quotas: Sequence[Quota], spender: Callable[[str], str | None]
    ) -> list[QuotaState]:
        """What is spent of quotas; ``spender`` says whom one counts, by its ``per``.

        Raises:
            SharedStateUnavailable
        """
        asked = self._asked(quotas, spender)
        spent = await self.spent([one.account for one in asked])
        return [
            QuotaState(one.quota, one.account, found.total)
            for one, found in zip(asked, spent, strict=True)
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

    async def look(self, per: str, counted: str, *, forget: bool = False) -> list[QuotaState]:
        """What is spent of the configured quotas of somebody; then perhaps it is forgotten.

        What waits in other workers, and what answers under way will cost, comes to it later.

        Raises:
            SharedStateUnavailable
        """
        quotas = [one for one in self.table.quotas if one.per == per]
        found = await self.states(quotas, lambda _: counted)
        if forget:
            for one in found:
                self._deliveries.forget(one.account)
            await self._store.forget([one.account.key for one in found])
        return found

    async def last_used(self, owner: str) -> Mapping[str, int]:
        """When the keys of ``tenant/subject`` were last used; raises ``SharedStateUnavailable``."""
        # Looked at before the store is asked: what leaves meanwhile may not be in its answer.
        unsent = self._deliveries.unsent_uses(owner)
        kept = await self._store.last_used(owner)
        return {
            key: max(kept.get(key, 0), unsent.get(key, 0)) for key in kept.keys() | unsent.keys()
        }

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
