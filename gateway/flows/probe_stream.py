"""Timed events, for whoever measures what stands between a client and the gateway.

They go the way of an answer's events: the same state machine, relay, head, pings and endings. So
whatever holds up an answer holds up these, too. Only the core is not asked; its place is taken by a
timer, which says with each event when it was sent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.identity import Principal
from gateway.domain.limits import Lease
from gateway.domain.stream_state import StreamLimits
from gateway.errors import RateLimited
from gateway.flows.answer_stream import Answer, Query
from gateway.flows.leases import Held, Leases
from gateway.ports import Clock, CoreSink, OnBehalfOf, SharedState

_DONE = b'event: done\ndata: {"finish_reason":"stop"}\n\n'


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """When events are sent: ``events`` of them, then nothing for a while, then one more.

    Without a silence there is none more. Times are in seconds.
    """

    events: int
    interval_s: float
    silence_s: float

    @property
    def sent(self) -> int:
        """How many are sent in all."""
        return self.events + (self.silence_s > 0)

    def wait_before(self, number: int) -> float:
        """How long nothing is sent before the event of that number, counted from 0."""
        if number == 0:
            return 0.0
        return self.interval_s if number < self.events else self.silence_s


class Probe:
    """The use case; one per worker."""

    def __init__(
        self, state: SharedState, leases: Leases, clock: Clock, limits: StreamLimits
    ) -> None:
        self._state = state
        self._leases = leases
        self._query = Query(_Sender(), clock, limits)

    async def take_place(self, who: Principal) -> Held:
        """The one place that a person has for this: it is free once the gateway saw him leave.

        Raises:
            RateLimited: he has it already.
            SharedStateUnavailable: nobody can say.
        """
        key = f"probe/{who.tenant}/{who.subject}"
        (outcome,) = await self._state.admit((), (Lease(key, most=1),))
        if not outcome.passed:
            raise RateLimited("You have a probe that runs: one at a time.")
        return self._leases.hold((key,))

    def open(
        self,
        who: OnBehalfOf,
        plan: ProbePlan,
        seen: Mapping[str, Any],
        *,
        token_expires_at: float | None = None,
    ) -> Answer:
        """An answer of timed events, to be entered and relayed as any other.

        Args:
            seen: what the first event tells of the request as it came here.
        """
        body = {"plan": plan, "seen": seen}
        return self._query.open(who, body, token_expires_at=token_expires_at)


class _Sender:
    """Implements ``answer_stream.Opens``."""

    async def open_query(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        on_sent: Callable[[], None] | None = None,
    ) -> TimedStream:
        return TimedStream(body["plan"], body["seen"])


class TimedStream:
    """Implements ``ports.CoreStream``: sends by the loop's clock, whatever its client takes.

    What waits for room is little, and is said late: its time tells when it was due.
    """

    def __init__(self, plan: ProbePlan, seen: Mapping[str, Any]) -> None:
        self._plan = plan
        self._seen = seen
        self._loop = asyncio.get_running_loop()
        self._sink: CoreSink | None = None
        self._timer: asyncio.Handle | None = None
        self._number = 0
        self._began_s = self._due_s = 0.0
        self._paused = False

    def attach(self, sink: CoreSink) -> None:
        self._sink = sink
        self._began_s = self._due_s = self._loop.time()
        self._timer = self._loop.call_soon(self._say)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._timer is None and self._sink is not None:
            self._timer = self._loop.call_soon(self._say)

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._sink = None

    def _say(self) -> None:
        self._timer = None
        sink, number = self._sink, self._number
        if sink is None or self._paused:
            return
        if number == self._plan.sent:
            sink.received(_DONE)
            sink.ended(None)
            return
        self._number += 1
        self._due_s += self._plan.wait_before(self._number) if self._number < self._plan.sent else 0
        self._timer = self._loop.call_at(self._due_s, self._say)
        sink.received(self._event(number))

    def _event(self, number: int) -> bytes:
        told: dict[str, Any] = {"n": number, "sent_ms": self._since_began_ms()}
        if number == 0:
            told.update(self._seen)
        name = b"probe" if number == 0 else b"tick"
        return b"event: %b\ndata: %b\n\n" % (name, json.dumps(told).encode("ascii"))

    def _since_began_ms(self) -> float:
        return round((self._loop.time() - self._began_s) * 1000, 2)
