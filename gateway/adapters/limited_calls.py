"""Calls to the core within the limit that each address's heads have taught (``adaptive_limit``).

Imported only where ``GATEWAY_CORE_ADAPTIVE_LIMIT`` is on. The balancer chooses as it does without;
if there is no room at its choice, it chooses again among the addresses that have some.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import httpx

from gateway.adapters.core_calls import (
    CANNOT_SERVE,
    Answered,
    Body,
    Call,
    CoreCalls,
    CoreTimeouts,
    Way,
)
from gateway.domain.adaptive_limit import AdaptiveLimit, LimitRules, Place
from gateway.domain.balancing import Address, Balancer, Lease, Work
from gateway.errors import Overloaded


class CoreLimits:
    """The limit of each address of ``balancer``, and how many calls they refused."""

    def __init__(self, balancer: Balancer, rules: LimitRules) -> None:
        self._balancer = balancer
        self._rules = rules
        self._limits: dict[Address, AdaptiveLimit] = {}
        self.refused = {"question": 0, "document": 0}

    def of(self, address: Address, now: float) -> AdaptiveLimit:
        limit = self._limits.get(address)
        if limit is None:
            self._forget_unlisted()
            limit = self._limits[address] = AdaptiveLimit(self._rules, now)
        return limit

    def refuse(self, work: Work, now: float) -> Overloaded:
        """No address has room: what the caller is told, and the limits learn."""
        self.refused["document" if work.goes_first else "question"] += 1
        limits = [self.of(address, now) for address in self._balancer.addresses]
        for limit in limits:
            limit.refuse()
        return Overloaded(retry_after_s=min((one.retry_after_s for one in limits), default=1))

    @property
    def places(self) -> tuple[float, int, int]:
        """Over all addresses: the limits, and the questions and document calls under way."""
        limits = self._limits.values()
        return (
            sum(one.limit for one in limits),
            sum(one.questions for one in limits),
            sum(one.documents for one in limits),
        )

    def _forget_unlisted(self) -> None:
        """Names' addresses come and go; those with calls under way keep their limit."""
        listed = set(self._balancer.addresses)
        self._limits = {
            address: limit
            for address, limit in self._limits.items()
            if address in listed or limit.in_flight
        }


class LimitedCalls(CoreCalls[Body]):
    """``CoreCalls`` that ask an address's limit before each call that ``Call.work`` names."""

    def __init__(
        self,
        limits: CoreLimits,
        way: Way[Body],
        balancer: Balancer,
        timeouts: CoreTimeouts,
    ) -> None:
        super().__init__(way, balancer, timeouts)
        self._limits = limits

    def lease(self, tried: Sequence[Address], work: Work | None = None) -> Lease:
        """One with room, not tried yet where there is such a one.

        Raises:
            CoreUnavailable: no address is known.
            Overloaded: none that may be used now has room.
        """
        lease = super().lease(tried, work)
        if work is None or self._has_room(lease.address, work):
            return lease
        lease.abandon()
        return self._elsewhere(tried, work)

    def _elsewhere(self, tried: Collection[Address], work: Work) -> Lease:
        """An ejected address is no place for what the others have no room for."""
        now = _now()
        every = self._balancer.addresses
        out = self._balancer.ejected(now)
        roomy = [one for one in every if one not in out and self._has_room(one, work)]
        usable = [one for one in roomy if one not in tried] or roomy
        lease = self._balancer.choose(now, [one for one in every if one not in usable])
        if lease is None or not usable:
            raise self._limits.refuse(work, now)
        return lease

    def _has_room(self, address: Address, work: Work) -> bool:
        now = _now()
        return self._limits.of(address, now).has_room(work, now)

    async def send_once(self, lease: Lease, call: Call) -> Answered[Body]:
        """The place is held from here to the head."""
        if call.work is None:
            return await super().send_once(lease, call)
        place = self._limits.of(lease.address, _now()).take(call.work)
        try:
            answered = await super().send_once(lease, replace(call, on_sent=_marking(place, call)))
        except httpx.TransportError:
            # A connection that broke says nothing of time; the balancer judges it.
            place.give_back()
            raise
        except BaseException:
            (place.overloaded if call.late() else place.left)(_now())
            raise
        _judge(place, answered.body.status)
        return answered


def _marking(place: Place, call: Call) -> Callable[[], None]:
    """``on_sent`` of the call, and the place's clock starts."""

    def sent() -> None:
        place.sent(_now())
        if call.on_sent is not None:
            call.on_sent()

    return sent


def _judge(place: Place, status: int) -> None:
    if status in CANNOT_SERVE:
        place.overloaded(_now())
    elif 200 <= status < 300:
        place.headed(_now())
    else:
        # A refusal of what was asked is quick, and so is a document that is not there: neither is
        # the time of the work.
        place.give_back()


def _now() -> float:
    return asyncio.get_running_loop().time()
