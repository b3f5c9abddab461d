"""Which core gets the next call: the less busy of two, none that just failed, few calls twice.

What flows which way: a ``Balancer`` is told the addresses there are (``update``), hands out a
``Lease`` on one of them for each call (``choose``) and learns from the lease how the call went
(``Lease.end``). Whoever holds the lease holds one of the address's calls in flight. ``RetryBudget``
says whether a failed call may be made once more.

Nothing here does I/O or asks a clock: ``now`` is in seconds of any clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Protocol


class RandomSource(Protocol):
    """What ``random.Random`` has."""

    def randrange(self, stop: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Address:
    """One place where a core answers.

    Attributes:
        base_url: what calls are made to; its host is the ``Host`` header and the TLS server name.
        connect_to: host and port of the connection where a look-up gave them; ``None``: the URL's.
        priority: the lowest one is used while any address that has it is (RFC 2782).
        weight: how many calls it bears beside one that bears ``1``.
    """

    base_url: str
    connect_to: tuple[str, int] | None = None
    priority: int = field(default=0, compare=False)
    weight: int = field(default=1, compare=False)

    def __str__(self) -> str:
        if self.connect_to is None:
            return self.base_url
        host, port = self.connect_to
        shown = f"[{host}]" if ":" in host else host
        return f"{self.base_url} at {shown}:{port}"


class Outcome(Enum):
    """How a call went, as far as it says something about its address.

    ``FAILED``: it broke, fell silent or answered that it cannot serve. ``UNREACHABLE``: there was
    no connection. ``UNKNOWN``: the call ended for a reason that is not the address's.
    """

    GOOD = "good"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Ejection:
    """When an address is left out, and for how long.

    One that cannot be reached is out at once: the next call would find the same. Anything else may
    be one call's bad luck (a kept connection that the core closed in that moment), so it takes
    ``failures`` in a row. The time out doubles with each ejection until a call goes well again.
    """

    failures: int = 3
    first_s: float = 1.0
    longest_s: float = 30.0

    def length_s(self, ejections: int) -> float:
        """How long the ``ejections``-th one in a row lasts."""
        return float(min(self.first_s * 2 ** min(ejections - 1, 32), self.longest_s))


@dataclass(slots=True, eq=False)
class _Member:
    """An address and what is known of it. ``used`` orders members by their last use."""

    address: Address
    used: int
    streams: int = 0
    failures: int = 0
    ejections: int = 0
    ejected_until: float = 0.0

    @property
    def busy(self) -> tuple[float, int]:
        return (self.streams + 1) / self.address.weight, self.used


class Lease:
    """One call at one address, counted until ``end``; forgetting it ends it too."""

    __slots__ = ("_balancer", "_member", "address")

    def __init__(self, balancer: Balancer, member: _Member) -> None:
        self.address = member.address
        self._balancer = balancer
        self._member: _Member | None = member
        member.streams += 1

    def end(self, outcome: Outcome, now: float) -> float | None:
        """Counts once; more calls do nothing. Gives the seconds the address is out from now on."""
        member = self._release()
        return None if member is None else self._balancer._learn(member, outcome, now)

    def abandon(self) -> None:
        """The end of a call that says nothing about its address."""
        self._release()

    def _release(self) -> _Member | None:
        member, self._member = self._member, None
        if member is not None:
            member.streams -= 1
        return member

    def __del__(self) -> None:
        # The collector may run this on another thread; one count down is one step to the others.
        self._release()


class Balancer:
    """Power of two choices by calls in flight, with ejection of what fails.

    Two addresses are drawn and the one with fewer calls in flight (for its weight) is taken; where
    both are alike, the one that was used longer ago. Never more than half of the addresses are out
    at a time: when most of them seem to fail, the fault is likely to be elsewhere, and the rest
    could not bear it all.
    """

    def __init__(
        self,
        random: RandomSource,
        addresses: Iterable[Address] = (),
        ejection: Ejection | None = None,
    ) -> None:
        self._random = random
        self._ejection = ejection or Ejection()
        self._members: dict[Address, _Member] = {}
        # Addresses that are no longer listed but have calls in flight, or were just ejected: they
        # may be back with the next look-up, and are then as busy and as suspect as before.
        self._gone: dict[Address, _Member] = {}
        self._uses = count()
        # How often an address was left out, by what it was for; read now and then for a metric.
        self.ejections = {Outcome.FAILED: 0, Outcome.UNREACHABLE: 0}
        # What a call may use now, and when the next ejected address is back.
        self._usable: list[_Member] = []
        self._back_at = 0.0
        self.update(addresses, 0.0)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(self._members)

    def streams(self, address: Address) -> int:
        """Calls in flight there, also if it is no longer listed."""
        member = self._members.get(address) or self._gone.get(address)
        return 0 if member is None else member.streams

    def ejected(self, now: float) -> tuple[Address, ...]:
        return tuple(one.address for one in self._members.values() if one.ejected_until > now)

    def update(self, addresses: Iterable[Address], now: float) -> None:
        """These are the addresses from now on; what is known of those that stay is kept."""
        known = self._gone | self._members
        self._members = {}
        for address in dict.fromkeys(addresses):
            member = known.pop(address, None) or _Member(address, next(self._uses))
            member.address = address
            self._members[address] = member
        self._gone = {
            address: member
            for address, member in known.items()
            if member.streams or member.ejected_until > now
        }
        self._take_back_beyond_half(now)
        self._sort_out(now)

    def choose(self, now: float, avoid: Collection[Address] = ()) -> Lease | None:
        """A lease on an address outside ``avoid``; ``None`` when there is none.

        An ejected one is taken only where nothing else is left.
        """
        if now >= self._back_at:
            self._sort_out(now)
        candidates = self._usable if not avoid else self._others(now, avoid)
        if not candidates:
            return None
        member = self._less_busy(candidates)
        member.used = next(self._uses)
        return Lease(self, member)

    def _others(self, now: float, avoid: Collection[Address]) -> list[_Member]:
        left = [one for one in self._members.values() if one.address not in avoid]
        return _preferred([one for one in left if one.ejected_until <= now]) or _preferred(left)

    def _less_busy(self, candidates: list[_Member]) -> _Member:
        if len(candidates) == 1:
            return candidates[0]
        first = self._random.randrange(len(candidates))
        second = self._random.randrange(len(candidates) - 1)
        second += second >= first
        one, other = candidates[first], candidates[second]
        return one if one.busy < other.busy else other

    def _learn(self, member: _Member, outcome: Outcome, now: float) -> float | None:
        if outcome is Outcome.GOOD:
            member.failures = member.ejections = 0
            return None
        # A core that dies fails all its calls at once: that is one failure, not hundreds.
        if outcome is Outcome.UNKNOWN or member.ejected_until > now:
            return None
        member.failures += 1
        if outcome is Outcome.FAILED and member.failures < self._ejection.failures:
            return None
        length_s = self._eject(member, now)
        self.ejections[outcome] += length_s is not None
        return length_s

    def _eject(self, member: _Member, now: float) -> float | None:
        if self._members.get(member.address) is not member:
            return None
        if len(self.ejected(now)) >= len(self._members) // 2:
            return None
        member.failures = 0
        member.ejections += 1
        length_s = self._ejection.length_s(member.ejections)
        member.ejected_until = now + length_s
        self._sort_out(now)
        return length_s

    def _take_back_beyond_half(self, now: float) -> None:
        """Fewer addresses than before allow fewer ejections: the next to be back is back now."""
        out = [one for one in self._members.values() if one.ejected_until > now]
        out.sort(key=lambda one: one.ejected_until)
        for member in out[: max(0, len(out) - len(self._members) // 2)]:
            member.ejected_until = now

    def _sort_out(self, now: float) -> None:
        """Once for each change, so that a choice costs the same for three addresses and 300."""
        members = self._members.values()
        self._usable = _preferred([one for one in members if one.ejected_until <= now])
        ends = (one.ejected_until for one in members if one.ejected_until > now)
        self._back_at = min(ends, default=float("inf"))


def _preferred(members: list[_Member]) -> list[_Member]:
    lowest = min((one.address.priority for one in members), default=0)
    return [one for one in members if one.address.priority == lowest]


class RetryBudget:
    """At most a share of the requests of the last seconds is made twice, and a few besides.

    When a core is in trouble everything fails, and repeating all of it would double its load. The
    few that are always allowed keep a gateway with little traffic from failing for want of it.
    """

    def __init__(self, share: float = 0.2, reserve: int = 3, window_s: int = 10) -> None:
        self._share = share
        self._reserve = reserve
        self._window_s = window_s
        # One entry a second: [second, requests, retries].
        self._seconds: deque[list[int]] = deque()
        self._requests = 0
        self._retries = 0
        # All there ever were, for a metric.
        self.taken = self.refused = 0

    def request(self, now: float) -> None:
        """A request came, whatever becomes of it."""
        self._second(now)[1] += 1
        self._requests += 1

    def take(self, now: float) -> bool:
        """Whether one may be repeated now; counts it if so."""
        second = self._second(now)
        if self._retries + 1 > self._reserve + self._share * self._requests:
            self.refused += 1
            return False
        second[2] += 1
        self.taken += 1
        self._retries += 1
        return True

    def _second(self, now: float) -> list[int]:
        seconds = self._seconds
        while seconds and seconds[0][0] <= now - self._window_s:
            _, requests, retries = seconds.popleft()
            self._requests -= requests
            self._retries -= retries
        if not seconds or seconds[-1][0] != int(now):
            seconds.append([int(now), 0, 0])
        return seconds[-1]
