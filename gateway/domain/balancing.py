"""Which core address gets the next call, which ones are ejected, how many retries are allowed.

A ``Balancer`` gets the list of addresses (``update``), gives a ``Lease`` on one of them for each
call (``choose``), and learns from it how the call went (``Lease.end``). A lease counts as one call
in flight at its address. ``RetryBudget`` decides whether a failed call may be repeated.

Nothing here does I/O or reads a clock: ``now`` is in seconds of any clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Protocol


class RandomSource(Protocol):
    """The one method of ``random.Random`` that is used."""

    def randrange(self, stop: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a core.

    Attributes:
        base_url: the URL of calls; its host is the ``Host`` header and the TLS server name.
        connect_to: host and port to connect to, from a DNS look-up; ``None``: those of the URL.
        priority: the addresses with the lowest number are used while any of them can be (RFC 2782).
        weight: its share of calls, compared with an address of weight ``1``.
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


class Work(Enum):
    """The kinds of calls to a core; each takes another time."""

    QUESTION = "question"
    SEARCH = "search"
    REVISION = "revision"
    LIST = "list"
    READ = "read"
    DELETE = "delete"

    @property
    def method(self) -> str:
        if self is Work.DELETE:
            return "DELETE"
        return "POST" if self in (Work.QUESTION, Work.SEARCH) else "GET"

    @property
    def goes_first(self) -> bool:
        """Document calls cost a core little, and pages that people look at wait for them."""
        return self not in (Work.QUESTION, Work.SEARCH)


class Outcome(Enum):
    """How a call went, as far as that depends on its address.

    ``FAILED``: the connection broke, no answer came in time, or the answer was 502, 503 or 504.
    ``UNREACHABLE``: no connection could be made. ``UNKNOWN``: the call ended for another reason.
    """

    GOOD = "good"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Ejection:
    """When an address is ejected, and for how long.

    An address that cannot be reached is ejected at once, as the next call would fail too. Any other
    failure may concern one call only (for example a kept connection that the core closed in that
    moment), so it takes ``failures`` in a row. The time doubles with each ejection until a call
    succeeds again.
    """

    failures: int = 3
    first_s: float = 1.0
    longest_s: float = 30.0

    def length_s(self, ejections: int) -> float:
        """How long the ejection number ``ejections`` in a row lasts."""
        return float(min(self.first_s * 2 ** min(ejections - 1, 32), self.longest_s))


@dataclass(slots=True, eq=False)
class _Member:
    """An address and its state. ``used`` is a counter of choices: lower means used longer ago."""

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
    """One call at one address. It counts until ``end``, or until the object is deleted."""

    __slots__ = ("_balancer", "_member", "address")

    def __init__(self, balancer: Balancer, member: _Member) -> None:
        self.address = member.address
        self._balancer = balancer
        self._member: _Member | None = member
        member.streams += 1

    def end(self, outcome: Outcome, now: float) -> float | None:
        """Ends the lease; later calls do nothing.

        Returns for how many seconds the address is ejected because of this call, or ``None``.
        """
        member = self._release()
        return None if member is None else self._balancer._record(member, outcome, now)

    def abandon(self) -> None:
        """Ends the lease of a call whose end says nothing about its address."""
        self._release()

    def _release(self) -> _Member | None:
        member, self._member = self._member, None
        if member is not None:
            member.streams -= 1
        return member

    def __del__(self) -> None:
        # The garbage collector may run this on another thread: the count goes down in one step.
        self._release()


class Balancer:
    """Power of two choices by calls in flight, with ejection of addresses that fail.

    Two addresses are drawn at random, and the one with fewer calls in flight for its weight is
    taken; if both are equal, the one that was used longer ago. At most half of the addresses are
    ejected at a time: when most of them seem to fail, the fault is probably elsewhere, and the
    others could not carry the whole load.
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
        # Addresses that are no longer listed but have calls in flight, or are ejected. If the next
        # look-up lists them again, they keep their counts and their ejection.
        self._gone: dict[Address, _Member] = {}
        self._uses = count()
        # How often an address was ejected, by its reason; the metrics read it from time to time.
        self.ejections = {Outcome.FAILED: 0, Outcome.UNREACHABLE: 0}
        # The addresses a call may use now, and when the next ejected one may be used again.
        self._usable: list[_Member] = []
        self._back_at = 0.0
        self.update(addresses, 0.0)

    def __len__(self) -> int:
        return len(self._members)

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(self._members)

    def streams(self, address: Address) -> int:
        """Calls in flight at this address, also if it is no longer listed."""
        member = self._members.get(address) or self._gone.get(address)
        return 0 if member is None else member.streams

    def ejected(self, now: float) -> tuple[Address, ...]:
        return tuple(one.address for one in self._members.values() if one.ejected_until > now)

    def update(self, addresses: Iterable[Address], now: float) -> None:
        """Sets the list of addresses; those that were listed before keep their state."""
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
        self._readmit_beyond_half(now)
        self._find_usable(now)

    def choose(self, now: float, avoid: Collection[Address] = ()) -> Lease | None:
        """A lease on an address outside ``avoid``; ``None`` when there is none.

        An ejected address is chosen only if no other one is left.
        """
        if now >= self._back_at:
            self._find_usable(now)
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

    def _record(self, member: _Member, outcome: Outcome, now: float) -> float | None:
        if outcome is Outcome.GOOD:
            member.failures = member.ejections = 0
            return None
        # All calls of a core that dies fail at once: that counts as one failure, not hundreds.
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
        self._find_usable(now)
        return length_s

    def _readmit_beyond_half(self, now: float) -> None:
        """Fewer addresses allow fewer ejections: those that end soonest are ended now."""
        out = [one for one in self._members.values() if one.ejected_until > now]
        out.sort(key=lambda one: one.ejected_until)
        for member in out[: max(0, len(out) - len(self._members) // 2)]:
            member.ejected_until = now

    def _find_usable(self, now: float) -> None:
        """Runs after changes only: a choice among 300 addresses then costs as much as among 3."""
        members = self._members.values()
        self._usable = _preferred([one for one in members if one.ejected_until <= now])
        ends = (one.ejected_until for one in members if one.ejected_until > now)
        self._back_at = min(ends, default=float("inf"))


def _preferred(members: list[_Member]) -> list[_Member]:
    lowest = min((one.address.priority for one in members), default=0)
    return [one for one in members if one.address.priority == lowest]


class RetryBudget:
    """Allows retries up to a share of the requests of the last seconds, plus a small reserve.

    When a core is in trouble everything fails, and repeating all calls would double its load. The
    reserve allows retries when there is little traffic, where the share of it would be nothing.
    """

    def __init__(self, share: float = 0.2, reserve: int = 3, window_s: int = 10) -> None:
        self._share = share
        self._reserve = reserve
        self._window_s = window_s
        # One entry a second: [second, requests, retries].
        self._seconds: deque[list[int]] = deque()
        self._requests = 0
        self._retries = 0
        # Totals since the start, for the metrics.
        self.taken = self.refused = 0

    def request(self, now: float) -> None:
        """Counts a request, whatever its result."""
        self._second(now)[1] += 1
        self._requests += 1

    def take(self, now: float) -> bool:
        """Whether a call may be repeated now; counts the retry if so."""
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
