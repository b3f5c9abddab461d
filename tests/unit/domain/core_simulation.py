"""A core as a queue: requests come at random, wait for one of its servers, and take their time.

It is driven by events, not by a clock: ten minutes of a flooded core are simulated in a second or
two, the same ones each time. Service times are log-normal: some heads take five times the mean.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Protocol


class Limiter(Protocol):
    """A rule under test, as one worker has it."""

    limit: float

    def take(self, now: float) -> Callable[[float], None] | None:
        """What is called at the head's time; ``None`` where there is no room."""


@dataclass(frozen=True)
class Phase:
    """From ``at_s`` on: how many requests the core serves at once, how long each takes on the
    average, and how many come in a second."""

    at_s: float
    servers: int
    service_s: float
    rate: float


@dataclass
class Second:
    """What happened in one second; ``times_s`` are those of heads that came in it."""

    at_s: float
    limit: float
    refused: int
    times_s: list[float]


@dataclass
class Seen:
    """A run's seconds, and what they say of the span from ``begin_s`` to ``end_s``."""

    seconds: list[Second] = field(default_factory=list)

    def span(self, begin_s: float, end_s: float) -> Seen:
        return Seen([one for one in self.seconds if begin_s < one.at_s <= end_s])

    @property
    def times_s(self) -> list[float]:
        return [time_s for one in self.seconds for time_s in one.times_s]

    @property
    def mean_time_s(self) -> float:
        return sum(self.times_s) / len(self.times_s)

    @property
    def mean_limit(self) -> float:
        return sum(one.limit for one in self.seconds) / len(self.seconds)

    @property
    def answered_per_s(self) -> float:
        return len(self.times_s) / len(self.seconds)

    @property
    def refused_share(self) -> float:
        refused = sum(one.refused for one in self.seconds)
        return refused / (refused + len(self.times_s))


class _Run:
    def __init__(
        self, limiters: Sequence[Limiter], phases: Sequence[Phase], seed: int, spread: float
    ) -> None:
        self._limiters = limiters
        self._random = Random(seed)
        self._spread = spread
        self._phase = phases[0]
        self._order = count()
        self._events: list[tuple[float, int, Callable[[float, Any], None], Any]] = []
        self._waiting: deque[tuple[Callable[[float], None], float]] = deque()
        self._busy = self._refused = 0
        self._times_s: list[float] = []
        self._seen = Seen()
        for phase in phases:
            self._at(phase.at_s, self._begin_phase, phase)
        self._at(0.0, self._arrive, None)
        self._at(1.0, self._tick, None)

    def until(self, end_s: float) -> Seen:
        while self._events[0][0] <= end_s:
            now, _, what, about = heapq.heappop(self._events)
            what(now, about)
        return self._seen

    def _at(self, at_s: float, what: Callable[[float, Any], None], about: Any) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), what, about))

    def _begin_phase(self, now: float, phase: Phase) -> None:
        self._phase = phase
        self._serve(now)

    def _arrive(self, now: float, _: None) -> None:
        headed = self._random.choice(self._limiters).take(now)
        if headed is None:
            self._refused += 1
        else:
            self._waiting.append((headed, now))
            self._serve(now)
        self._at(now + self._random.expovariate(self._phase.rate), self._arrive, None)

    def _serve(self, now: float) -> None:
        while self._waiting and self._busy < self._phase.servers:
            self._busy += 1
            # The mean of this distribution is 1.
            takes = self._random.lognormvariate(-(self._spread**2) / 2, self._spread)
            self._at(now + self._phase.service_s * takes, self._answer, self._waiting.popleft())

    def _answer(self, now: float, about: tuple[Callable[[float], None], float]) -> None:
        headed, asked_at = about
        self._busy -= 1
        headed(now)
        self._times_s.append(now - asked_at)
        self._serve(now)

    def _tick(self, now: float, _: None) -> None:
        limit = sum(one.limit for one in self._limiters)
        self._seen.seconds.append(Second(now, limit, self._refused, self._times_s))
        self._times_s, self._refused = [], 0
        self._at(now + 1.0, self._tick, None)


def simulate(
    limiters: Sequence[Limiter],
    phases: Sequence[Phase],
    end_s: float,
    *,
    seed: int = 1,
    spread: float = 0.5,
) -> Seen:
    """Runs a core with the workers that have these limiters; ``limit`` is the sum of theirs."""
    return _Run(limiters, phases, seed, spread).until(end_s)
