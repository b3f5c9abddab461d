"""One call to one of the cores: which address, how it went there, and whether it is made again.

What flows which way: ``CoreHttp`` or ``CoreGrpc`` says what is to be asked (``Call``);
``CoreCalls`` takes a lease from the balancer, has a ``Way`` bring the call there, and gives an
``Answered``: the answer, its head in, and the lease, to be ended together, once. Which protocol is
spoken is the way's to know; both tell failures in httpx's exceptions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import httpx
import structlog

from gateway.domain.balancing import Address, Balancer, Lease, Outcome, RetryBudget, Work
from gateway.errors import CoreProtocolError, CoreTimeout, CoreUnavailable, Overloaded

log = structlog.get_logger("gateway.core")

_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout)
_BROKEN = (httpx.NetworkError, httpx.RemoteProtocolError)
# A gateway or a load balancer in front of a core says these when the core is gone or full.
CANNOT_SERVE = (502, 503, 504)
MAX_TRIES = 3
NO_ADDRESS = "no address of the core is known"


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreTimeouts:
    """Seconds. ``call_s`` bounds a document call as a whole, retry and body included.

    ``head_s`` bounds the wait for a query's head where the caller keeps no clock of its own.
    ``check_s`` bounds a health check over all addresses.
    """

    connect_s: float
    pool_s: float = 1.0
    head_s: float = 60.0
    call_s: float
    check_s: float = 0.75


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked. ``target`` is path and query, and whatever the protocol, ``method`` says as
    HTTP's do whether it may be made twice. ``late`` is whether the call's time is over.

    ``bound_s`` is that time where it is short: connecting to one address must then leave some of it
    for another one. ``reads`` is a POST that changes nothing, and may be made twice.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    late: Callable[[], bool]
    content: bytes | None = None
    on_sent: Callable[[], None] | None = None
    bound_s: float | None = None
    reads: bool = False
    work: Work | None = None


class Head(Protocol):
    """An answer whose head is in; ``status`` is HTTP's, or what would be HTTP's."""

    @property
    def status(self) -> int: ...

    def header(self, name: bytes) -> str | None:
        """A header's value by its name in lower case."""

    def close(self) -> None: ...


Body = TypeVar("Body", bound=Head)
BodyOfWay = TypeVar("BodyOfWay", bound=Head, covariant=True)


class Way(Protocol[BodyOfWay]):
    """How one call goes to one address, once."""

    def ask(
        self, address: Address, call: Call, *, connect_s: float, pool_s: float
    ) -> Awaitable[BodyOfWay]:
        """Gives the answer once its head is in.

        Raises:
            httpx.TransportError: with httpx's own meanings; after a ``Connect…`` or a
                ``PoolTimeout`` nothing was sent.
        """


class Answered(Generic[Body]):
    """An answer whose head is in, and the lease it came on."""

    __slots__ = ("body", "lease")

    def __init__(self, body: Body, lease: Lease) -> None:
        self.body = body
        self.lease = lease

    def end(self, outcome: Outcome) -> None:
        """How the exchange went; only the first word counts."""
        end_lease(self.lease, outcome)

    def close(self) -> None:
        """Ends both; an exchange nobody judged says nothing about its address."""
        self.body.close()
        self.lease.abandon()


class CoreCalls(Generic[Body]):
    """Sends calls to the addresses of ``balancer``, again where that can do no harm."""

    def __init__(self, way: Way[Body], balancer: Balancer, timeouts: CoreTimeouts) -> None:
        self._balancer = balancer
        self._way = way
        self._timeouts = timeouts
        self.budget = RetryBudget()

    async def send(self, call: Call) -> Answered[Body]:
        """Sends it, and again where that can do no harm, as far as the budget goes.

        A connection that could not be made took nothing, so any call may try another address. One
        that broke may have done its work: only calls that change nothing twice are repeated, at
        the same address too if there is no other, since it may just have been a stale connection.

        Raises:
            CoreUnavailable, CoreProtocolError, CoreTimeout, Overloaded.
        """
        self.budget.request(_now())
        tried: list[Address] = []
        while True:
            lease = self.lease(tried, call.work)
            try:
                return await self.send_once(lease, call)
            except httpx.TransportError as exc:
                failure = exc
            tried.append(lease.address)
            if not self._may_repeat(call, failure, tried):
                raise_for_transport(failure)

    async def send_once(self, lease: Lease, call: Call) -> Answered[Body]:
        """Sends it there. Raises ``httpx.TransportError``; then the lease has ended."""
        try:
            body = await self._way.ask(
                lease.address,
                call,
                connect_s=self._connect_s(call),
                pool_s=self._timeouts.pool_s,
            )
        except httpx.TransportError as exc:
            end_lease(lease, _outcome(exc))
            raise
        except BaseException:
            # Whoever asked left, which says nothing of the address, unless it was silent too long.
            end_lease(lease, Outcome.FAILED if call.late() else Outcome.UNKNOWN)
            raise
        answered = Answered(body, lease)
        if body.status in CANNOT_SERVE:
            answered.end(Outcome.FAILED)
        return answered

    def lease(self, tried: Sequence[Address], work: Work | None = None) -> Lease:
        """One that was not tried yet, where there is such a one. Raises ``CoreUnavailable``."""
        now = _now()
        lease = self._balancer.choose(now, tried) or self._balancer.choose(now)
        if lease is None:
            raise CoreUnavailable from ValueError(NO_ADDRESS)
        return lease

    def _connect_s(self, call: Call) -> float:
        if call.bound_s is None or len(self._balancer) < 2:
            return self._timeouts.connect_s
        return min(self._timeouts.connect_s, call.bound_s / 2)

    def _may_repeat(self, call: Call, failure: httpx.TransportError, tried: list[Address]) -> bool:
        nothing_sent = isinstance(failure, _NOTHING_SENT)
        once = call.method == "POST" and not call.reads
        if not nothing_sent and (once or not isinstance(failure, _BROKEN)):
            return False
        elsewhere = any(address not in tried for address in self._balancer.addresses)
        once_more = not nothing_sent and len(tried) == 1
        if len(tried) >= MAX_TRIES or not (elsewhere or once_more):
            return False
        if self.budget.take(_now()):
            return True
        log.warning("core call not repeated: the budget is used up")
        return False


def end_lease(lease: Lease, outcome: Outcome) -> None:
    """Ends the lease; logs it when the address is ejected for that."""
    out_s = lease.end(outcome, _now())
    if out_s is not None:
        log.warning(
            "core address ejected",
            address=str(lease.address),
            outcome=outcome.value,
            for_s=out_s,
        )


async def any_good(
    asks: Sequence[Callable[[], Coroutine[Any, Any, None]]], next_after_s: float
) -> None:
    """Returns when one of them succeeds; a further one starts when one failed or takes long.

    Raises what the last one raised when all failed. None is left running.
    """
    waiting, asking = list(asks), set[asyncio.Task[None]]()
    failure: BaseException | None = None
    try:
        while waiting or asking:
            if waiting:
                asking.add(asyncio.create_task(waiting.pop(0)(), name="core check"))
            done, asking = await asyncio.wait(
                asking,
                timeout=next_after_s if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            failures = [task.exception() for task in done]
            if None in failures:
                return
            failure = failures[-1] if failures else failure
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    assert failure is not None
    raise failure


def raise_for_transport(exc: httpx.TransportError) -> NoReturn:
    """httpx's failures of a call, in the contract's words."""
    if isinstance(exc, httpx.PoolTimeout):
        raise Overloaded from exc
    if isinstance(exc, httpx.TimeoutException):
        raise CoreTimeout from exc
    if isinstance(exc, httpx.ProtocolError | httpx.UnsupportedProtocol | httpx.DecodingError):
        raise CoreProtocolError from exc
    raise CoreUnavailable from exc


def _outcome(exc: httpx.TransportError) -> Outcome:
    if isinstance(exc, httpx.PoolTimeout):
        return Outcome.UNKNOWN
    return Outcome.UNREACHABLE if isinstance(exc, _NOTHING_SENT) else Outcome.FAILED


def _now() -> float:
    return asyncio.get_running_loop().time()
