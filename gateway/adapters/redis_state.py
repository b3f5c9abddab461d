"""What all replicas count together, in Redis (or Valkey): rates, open streams, failed logins.

Only imported when ``GATEWAY_REDIS_URL`` is set. A request's limits are one call, decided inside
Redis by Redis's own clock; whatever keeps it from answering is ``SharedStateUnavailable``.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import islice
from typing import Final, NamedTuple

import structlog

from gateway.adapters.redis_access import RedisAccess, connected
from gateway.adapters.redis_calls import RedisCalls
from gateway.adapters.redis_scripts import (
    ADMIT,
    ANNOUNCE,
    FAILED,
    RELEASE,
    RENEW,
    WAIT,
)
from gateway.domain.limits import (
    LEASE_S,
    Budget,
    Charge,
    Counted,
    Lease,
    Outcome,
    Penalty,
    Rate,
    budgeted,
    charged,
    leased,
)
from gateway.domain.when_away import Owed
from gateway.errors import SharedStateUnavailable

# This replica: workers are forked from the process that imported this, and so have one name.
REPLICA: Final = secrets.token_hex(8).encode()
# Who serves nobody, such as ``gateway check``, is no replica.
NO_REPLICA: Final = b""
# A renewal of more is divided, so that Redis serves others in between.
RENEWED_AT_ONCE = 500
NO_EVICTION = b"noeviction"

# The state of a key under which something else stood.
_STRANGE = b"?"
_PLAIN = re.compile(r"[A-Za-z0-9:._/@*+=,-]{1,120}\Z")
_LIFE = b"%.6f" % LEASE_S
_VERSION = re.compile(rb"^(redis|valkey)_version:(\S+)", re.MULTILINE)
_EVICTION = re.compile(rb"^maxmemory_policy:(\S+)", re.MULTILINE)

log = structlog.get_logger("gateway.redis")


class _Asked(NamedTuple):
    """What one call asks for, in the order of its keys."""

    charges: Sequence[Charge]
    leases: Sequence[Lease]
    budgets: Sequence[Budget]


class RedisState:
    """Implements ``ports.SharedState``. Make it on the worker's loop; it connects when it is used.

    Attributes:
        calls: what goes over its connection; others may call there, too.
        prefix: what every key begins with.
        server: what answered the last check, such as ``"redis 7.0.15"``; empty before.
        lost: called when its connection breaks, or cannot be made.
    """

    def __init__(self, access: Callable[[], RedisAccess], replica: bytes = REPLICA) -> None:
        """``access`` is asked for every new connection; its prefix and timeout stay the first."""
        self._replica = replica
        first = access()
        self.prefix = first.prefix.encode()
        self.lost: Callable[[SharedStateUnavailable], None] = lambda problem: None
        self.calls = RedisCalls(
            lambda: connected(access()), first.timeout_s, lambda problem: self.lost(problem)
        )
        self.calls.teach(ADMIT, RELEASE, RENEW, FAILED, WAIT, ANNOUNCE)
        self._worker = secrets.token_hex(8).encode()
        # Leases that are being asked for, and how often all were renewed.
        self._asked: Counter[bytes] = Counter()
        self._renewals = 0
        self.server = ""

    # --- Rates and leases ------------------------------------------------------------------------

    async def admit(
        self,
        charges: Sequence[Charge],
        leases: Sequence[Lease] = (),
        budgets: Sequence[Budget] = (),
        owed: Sequence[Owed] = (),
    ) -> Sequence[Outcome]:
        """As the port says.

        Args:
            owed: of each charge's key, what is known beside what Redis knows.
        """
        asked = _Asked(charges, leases, budgets)
        answer = self._admit(b"1", asked, owed)
        if not leases:
            return self._outcomes(asked, await answer)
        return await self._lease(asked, answer)

    async def peek(
        self, charges: Sequence[Charge], leases: Sequence[Lease] = ()
    ) -> Sequence[Outcome]:
        asked = _Asked(charges, leases, ())
        return self._outcomes(asked, await self._admit(b"0", asked, ()))

    def _admit(self, write: bytes, asked: _Asked, owed: Sequence[Owed]) -> asyncio.Future[bytes]:
        charges, leases, budgets = asked
        args = [b"%d" % len(charges), b"%d" % len(leases), write, self._worker, _LIFE]
        if owed:
            args += [
                b"%b %.6f %.6f" % (_rate(one.rate, one.cost), *more)
                for one, more in zip(charges, owed, strict=True)
            ]
        else:
            args += [_rate(one.rate, one.cost) + b" 0 0" for one in charges]
        args += [b"%d" % lease.most for lease in leases]
        args += [b"%d" % budget.most for budget in budgets]
        return self.calls.run(ADMIT, self._keys(asked), args)

    def _keys(self, asked: _Asked) -> list[bytes]:
        keys = [self._key(b"r:", charge.key) for charge in asked.charges]
        keys += [self._key(b"l:", lease.key) for lease in asked.leases]
        keys += [account_key(self.prefix, budget.key) for budget in asked.budgets]
        return keys

    def _outcomes(self, asked: _Asked, answer: bytes) -> Sequence[Outcome]:
        passed, at, *states = answer.split()
        if passed[1:]:
            states = self._tell_of_strangers(asked, states)
        return _outcomes(asked, float(at), states)

    def _tell_of_strangers(self, asked: _Asked, states: Sequence[bytes]) -> list[bytes]:
        """Somebody else wrote there; a call that charges removes it, so that this is told once."""
        for key, state in zip(self._keys(asked), states, strict=True):
            if state == _STRANGE:
                log.error(
                    "redis: something else stood under a key of ours; it counts as nothing",
                    key=key.decode("utf-8", "replace"),
                )
        return [b"0" if state == _STRANGE else state for state in states]

    async def _lease(self, asked: _Asked, answer: asyncio.Future[bytes]) -> Sequence[Outcome]:
        """Leases that were given to a caller who is gone are given back, and so is one more in a
        renewal that counted on them."""
        keys = [self._key(b"l:", lease.key) for lease in asked.leases]
        self._asked.update(keys)
        renewals = self._renewals

        def done(answer: asyncio.Future[bytes]) -> None:
            for key in keys:
                # Not by subtracting counters: that looks at every key there is.
                if self._asked[key] > 1:
                    self._asked[key] -= 1
                else:
                    del self._asked[key]
            passed = _has_passed(answer)
            if (passed and caller.cancelled()) or (not passed and renewals != self._renewals):
                self._release(keys)

        answer.add_done_callback(done)
        caller = asyncio.shield(answer)
        try:
            return self._outcomes(asked, await caller)
        except asyncio.CancelledError:
            # Cancelled after the answer came and before it was taken: ``done`` saw a caller.
            if not caller.cancelled() and _has_passed(caller):
                self._release(keys)
            raise

    def release(self, keys: Sequence[str]) -> None:
        self._release([self._key(b"l:", key) for key in keys])

    def _release(self, keys: Sequence[bytes]) -> None:
        each = Counter(keys)
        counts = [b"%d" % count for count in each.values()]
        # What is lost is put right by the next renewal, or by the lease's end.
        self.calls.run(RELEASE, list(each), [self._worker, _LIFE, *counts]).add_done_callback(
            _failed
        )

    async def renew(self, held: Mapping[str, int]) -> None:
        """Counts what was asked for meanwhile too: its answer may be on the way."""
        self._renewals += 1
        counts = Counter({self._key(b"l:", key): count for key, count in held.items()})
        counts.update(self._asked)
        left = iter(counts.items())
        calls = []
        while some := dict(islice(left, RENEWED_AT_ONCE)):
            args = [self._worker, _LIFE, *(b"%d" % count for count in some.values())]
            calls.append(self.calls.run(RENEW, list(some), args))
        await asyncio.gather(*calls)

    # --- Failures --------------------------------------------------------------------------------

    async def wait_s(self, keys: Sequence[str]) -> Sequence[float]:
        return _numbers(await self.calls.run(WAIT, [self._key(b"f:", key) for key in keys], []))

    async def failed(self, keys: Sequence[str], penalty: Penalty) -> Sequence[float]:
        args = [b"%d" % penalty.free]
        args += [b"%.6f" % s for s in (penalty.first_s, penalty.longest_s, penalty.memory_s)]
        return _numbers(await self.calls.run(FAILED, [self._key(b"f:", key) for key in keys], args))

    async def forgive(self, keys: Sequence[str]) -> None:
        await self._delete([self._key(b"f:", key) for key in keys])

    async def reset(self, keys: Sequence[str]) -> None:
        await self._delete([self._key(kind, key) for key in keys for kind in (b"r:", b"l:", b"f:")])

    # --- The server ------------------------------------------------------------------------------

    async def announce(self, life_s: float) -> int:
        """Says that this replica is there, for ``life_s`` seconds; gives how many are."""
        return int(
            await self.calls.run(
                ANNOUNCE, [self.prefix + b"replicas"], [self._replica, b"%.6f" % life_s]
            )
        )

    async def check(self) -> None:
        """Raises where nobody answers, and where the server may forget what it was told."""
        told = await self.calls.call(b"INFO")
        if found := _VERSION.findall(told):
            # Valkey names the Redis it is compatible with first.
            self.server = b" ".join(found[-1]).decode("utf-8", "replace")
        policy = _EVICTION.search(told)
        if policy is not None and policy[1] != NO_EVICTION:
            raise SharedStateUnavailable(
                f"Redis evicts keys (maxmemory-policy {policy[1].decode('utf-8', 'replace')}):"
                " what it counted would be forgotten; it must be noeviction."
            )

    def drop(self) -> None:
        """Closes the connection; the next call makes a new one, with what ``access`` says then."""
        self.calls.drop()

    async def aclose(self) -> None:
        await self.calls.aclose()

    # --- Calls -----------------------------------------------------------------------------------

    def _key(self, kind: bytes, key: str) -> bytes:
        return self.prefix + kind + _name(key)

    async def _delete(self, keys: Sequence[bytes]) -> None:
        if keys:
            await self.calls.call(b"DEL", *keys)


def account_key(prefix: bytes, key: str) -> bytes:
    """Where the tokens of an account are counted, which ``redis_usage`` adds up."""
    return prefix + b"u:" + key.encode()


@lru_cache(maxsize=8192)
def _name(key: str) -> bytes:
    """A key as it stands in Redis; a long or odd one, that somebody made up, as a digest."""
    if _PLAIN.match(key):
        return key.encode()
    return b"~" + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest().encode()


@lru_cache(maxsize=1024)
def _rate(rate: Rate, cost: int) -> bytes:
    # All digits, so that Redis reckons with the same number as we do.
    return b"%r %d %d" % (rate.interval_s, rate.burst, cost)


def _outcomes(asked: _Asked, now: float, states: Sequence[bytes]) -> Sequence[Outcome]:
    """By the rule that Redis followed, from the state that Redis found."""
    charges, leases, budgets = asked
    counted = dict[str, Counted]()
    outcomes = []
    for one, state in zip(charges, states, strict=False):
        before = counted.get(one.key) or Counted(float(state))
        outcome, counted[one.key] = charged(one.rate, one.cost, before, now)
        outcomes.append(outcome)
    rest = states[len(charges) :]
    for lease, held in zip(leases, rest, strict=False):
        outcomes.append(leased(lease.most, int(held)))
    for budget, spent in zip(budgets, rest[len(leases) :], strict=True):
        outcomes.append(budgeted(budget.most, int(spent)))
    return outcomes


def _numbers(answer: bytes) -> Sequence[float]:
    return [float(number) for number in answer.split()]


def _has_passed(answer: asyncio.Future[bytes]) -> bool:
    return not _failed(answer) and answer.result()[:1] == b"1"


def _failed(answer: asyncio.Future[bytes]) -> bool:
    """Also tells asyncio that somebody looked."""
    return answer.cancelled() or answer.exception() is not None
