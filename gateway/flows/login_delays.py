"""Growing delays after failed logins, so that passwords cannot be guessed one after the other.

Failures are counted per account (by a keyed digest of the name that was typed, whether there is
such an account or not) and per client address. What keeps an attacker from locking an owner out:

- An address from which an account was logged in to before is *known* for it. There only what
  failed for this account from this very address counts, whatever is tried from elsewhere.
- Anywhere else, a wait that was told for an account is *kept*: who comes back after it, from the
  same address, is let in to try, whatever others did to the account meanwhile. So nobody waits for
  an account longer than the longest delay.

A success forgives what failed for the account, and not what failed at the address: who has one good
account cannot begin anew with it. ``admit`` is asked twice: before the queue of password checks,
where a refusal costs nothing, and in it, one at a time, where the attempt is counted before its
password is looked at: guesses sent at once do not pass together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from gateway.domain.limit_counts import network_of
from gateway.domain.limits import Penalty
from gateway.errors import RateLimited, SharedStateUnavailable
from gateway.ports import SharedState

# For how long after a told wait the turn is kept.
TURN_S: Final = 60.0


class LoginDelayed(RateLimited):
    """The next login has to wait. ``per`` is for the log and the metric, not for the client."""

    default_message = "Too many logins have failed: wait before the next one."

    def __init__(self, per: Literal["account", "address"], retry_after_s: int) -> None:
        self.per = per
        super().__init__(details={"retry_after_s": retry_after_s}, retry_after_s=retry_after_s)


@dataclass(frozen=True, slots=True)
class DelayRules:
    """What failures cost, and how long an address stays known for an account, in seconds."""

    account: Penalty
    address: Penalty
    known_s: float


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is known of one account at one address before an attempt."""

    known: bool
    pair_s: float
    account_s: float
    address_s: float
    told_s: float

    @property
    def has_turn(self) -> bool:
        """Whether a wait that was told is over."""
        return 0.0 < self.told_s <= TURN_S

    @property
    def of_account_s(self) -> float:
        if self.known:
            return self.pair_s
        if self.has_turn:
            return 0.0
        kept_s = self.told_s - TURN_S if self.told_s else math.inf
        return min(self.account_s, kept_s)

    @property
    def of_address_s(self) -> float:
        return 0.0 if self.known else self.address_s


class _Keys:
    """What is counted under which key, of one account at one address."""

    def __init__(self, account: str, address: str) -> None:
        place = network_of(address) if address else ""
        self.known = f"login/known/{account}/{place}"
        self.pair = f"login/pair/{account}/{place}"
        self.account = f"login/account/{account}"
        self.address = f"login/address/{place}"
        self.told = f"login/told/{account}/{place}"


class LoginDelays:
    """The use case; one per worker, and none where delays are turned off.

    Attributes:
        unchecked: how many logins went on because nobody could say whether they have to wait.
    """

    def __init__(self, state: SharedState, rules: DelayRules) -> None:
        self._state = state
        self._rules = rules
        self.unchecked = 0

    async def admit(self, account: str, address: str, *, count: bool) -> None:
        """Lets an attempt go on, or refuses it.

        Args:
            account: a digest of the name.
            address: the client's; ``""`` where there is none.
            count: whether the attempt begins now; it counts as a failure until it succeeded.

        Raises:
            LoginDelayed: it has to wait.
        """
        keys = _Keys(account, address)
        try:
            await self._admit(keys, count=count)
        except SharedStateUnavailable:
            # Fails open. What counts has a fallback in the replica's memory, so that this is a
            # fault of ours, which must not keep everybody out.
            self.unchecked += 1

    async def _admit(self, keys: _Keys, *, count: bool) -> None:
        standing = await self._standing(keys)
        wait_s = max(standing.of_account_s, standing.of_address_s)
        if wait_s > 0.0:
            if not standing.known and not standing.told_s and standing.account_s:
                await self._mark(keys.told, standing.account_s + TURN_S)
            per_account = standing.of_account_s >= standing.of_address_s
            raise LoginDelayed("account" if per_account else "address", math.ceil(wait_s))
        if not count:
            return
        if standing.has_turn:
            await self._state.forgive([keys.told])
        counted = keys.pair if standing.known else keys.account
        await self._state.failed([counted], self._rules.account)

    async def _standing(self, keys: _Keys) -> _Standing:
        known, pair_s, account_s, address_s, told_s = await self._state.wait_s(
            [keys.known, keys.pair, keys.account, keys.address, keys.told]
        )
        return _Standing(known > 0.0, pair_s, account_s, address_s, told_s)

    async def failed(self, account: str, address: str) -> None:
        """The password was wrong, or there is no such account: the address has one failure more."""
        try:
            await self._state.failed([_Keys(account, address).address], self._rules.address)
        except SharedStateUnavailable:
            self.unchecked += 1

    async def succeeded(self, account: str, address: str) -> None:
        """Forgives the account; from now on this address is known for it."""
        keys = _Keys(account, address)
        try:
            known = (await self._state.wait_s([keys.known]))[0] > 0.0
            # What is tried elsewhere goes on counting: the owner is not in its way here.
            await self._state.forgive([keys.pair] if known else [keys.pair, keys.account])
            if self._rules.known_s and address:
                await self._mark(keys.known, self._rules.known_s)
        except SharedStateUnavailable:
            self.unchecked += 1

    async def look(self, account: str, address: str, *, forget: bool) -> dict[str, float]:
        """Seconds until the next attempt, for operators: of an account, an address, or both.

        An account's failures at an address that is known for it count apart from its others, so
        that they are only found where both are named. ``""`` names none.

        Raises:
            SharedStateUnavailable
        """
        keys = _Keys(account, address)
        named = {"account": keys.account} if account else {}
        named |= {"address": keys.address} if address else {}
        named |= {"account at address": keys.pair} if account and address else {}
        waits = await self._state.wait_s(list(named.values()))
        if forget:
            await self._state.forgive(list(named.values()))
        return dict(zip(named, waits, strict=True))

    async def _mark(self, key: str, for_s: float) -> None:
        """Remembers ``key`` for a while: as one failure whose delay is how long."""
        await self._state.failed([key], Penalty(0, for_s, for_s, for_s))
