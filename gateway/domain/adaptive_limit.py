"""How many questions to one address of the core may be without their head, learned from its times.

What flows which way: whoever calls asks ``has_room``, takes a ``Place`` for the call, and tells it
when the request was sent and how it went. The place is given back when the answer's head is in,
however long the stream behind that head goes on.

Searches are questions here. Document calls have places of their own, several times as many: what
they take of the core makes questions slower, so that it is the questions that yield.

The rules, applied once for about as many heads as may be under way (a round):

- as long as heads take at most ``tolerance`` times as long as without load, the limit grows: by 1,
  2, 4 … up to its square root a round, and only where it is used; before the first slow round it
  doubles;
- after a slow round it is multiplied with (tolerated time / time now), at least with a half;
- the time without load is measured, where heads are slow or calls refused, every half minute: then
  a quarter of the calls is let through for a few heads. All limits do it at the same time of the
  clock on the wall. Each alone would measure the load of the others, take it for the core's own
  time, and let more and more through.

Nothing here does I/O or reads a clock: ``now`` is in seconds of a clock that never goes back.
``docs/decisions`` has the figures of these rules beside those of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

from gateway.domain.balancing import Work


@dataclass(frozen=True, slots=True)
class LimitRules:
    """What a limit is computed with.

    Attributes:
        first: the limit of an address of which nothing is known.
        least, most: its bounds.
        tolerance: how many times as long as without load a head may take.
        slack_s: what it may take besides: a call of one millisecond that takes five is no overload.
        heads: how many heads a round has at least.
        measured_heads: how many tell the time without load.
        measure_every_s: how often that is measured under load.
        ahead_s: the time of the clock on the wall, less ``now``.
    """

    first: float = 10.0
    least: float = 2.0
    most: float = 1000.0
    tolerance: float = 1.5
    slack_s: float = 0.01
    heads: int = 20
    measured_heads: int = 5
    measure_every_s: float = 30.0
    ahead_s: float = 0.0


# A measurement goes half of the way to what it found: a few heads are no more than a sample.
_MEASURED_WEIGHT = 0.5
# A core that became faster shows it in any round. What is less clear is noise, and following it
# down at each round would end at the fastest heads there are.
_CLEARLY_FASTER = 0.75
_FASTER_WEIGHT = 0.3
# Of the calls under way, how many a measurement leaves: as many limits may share an address, and
# each tolerates a queue, a half would be load still.
_MEASURED_SHARE = 4
# How many document calls may be under way for each question that may; a limit of no more than
# ``first`` allows as many as that one. They are short, and many because they wait behind questions.
_DOCUMENT_CALLS = 10
# So many slow rounds at the lowest limit: then it is the core that became slower, not its queue.
_ROUNDS_AT_LEAST = 3


class _Times:
    """The times of one kind of work: without load, and in this round."""

    __slots__ = ("count", "sum_s", "unloaded_s")

    def __init__(self) -> None:
        self.unloaded_s: float | None = None
        self.sum_s = 0.0
        self.count = 0

    def add(self, time_s: float) -> None:
        self.sum_s += time_s
        self.count += 1

    def clear(self) -> None:
        self.sum_s, self.count = 0.0, 0

    @property
    def expected_s(self) -> float:
        return self.count * (self.unloaded_s or 0.0)

    def measure(self) -> None:
        """What was added was without load."""
        mean_s = self.sum_s / self.count
        if self.unloaded_s is None:
            self.unloaded_s = mean_s
        else:
            self.unloaded_s += _MEASURED_WEIGHT * (mean_s - self.unloaded_s)
        self.clear()

    def follow_down(self) -> None:
        """What was added is the mean of a round, under whatever load."""
        if self.unloaded_s is not None and self.sum_s < _CLEARLY_FASTER * self.expected_s:
            self.unloaded_s += _FASTER_WEIGHT * (self.sum_s / self.count - self.unloaded_s)


class Place:
    """The place of one call, until its head is in or nobody waits for it any more."""

    __slots__ = ("_limit", "_round", "_sent_at", "_taken", "work")

    def __init__(self, limit: AdaptiveLimit, work: Work, round_: int) -> None:
        self.work = work
        self._limit = limit
        self._round = round_
        self._sent_at: float | None = None
        self._taken = True

    def sent(self, now: float) -> None:
        """The request went out. What came before, as a new connection, is no time of the core."""
        # Document calls teach nothing: what they wait for, too, are questions.
        if not self.work.goes_first:
            self._sent_at = now

    def headed(self, now: float) -> None:
        """The head of a success is in."""
        if self._sent_at is not None:
            self._limit._count(self.work, now - self._sent_at, self._round)
        self.give_back()

    def overloaded(self, now: float) -> None:
        """The core said so, or its head did not come in time: a slow head, however quick it was."""
        if self._sent_at is not None:
            self._limit._count_slow(self.work, now - self._sent_at, self._round)
        self.give_back()

    def left(self, now: float) -> None:
        """Nobody waits for the head any more: if that is because it is slow, it counts as slow."""
        if self._sent_at is not None and self._limit._is_slow(self.work, now - self._sent_at):
            self.overloaded(now)
        self.give_back()

    def give_back(self) -> None:
        """Once; more calls do nothing."""
        if self._taken:
            self._taken = False
            self._limit._give_back(self.work)


class AdaptiveLimit:
    """The limit of one address, and the calls that wait for their heads there."""

    def __init__(self, rules: LimitRules, now: float) -> None:
        self._rules = rules
        self.limit = rules.first
        self.questions = self.documents = 0
        self._times = {work: _Times() for work in (Work.QUESTION, Work.SEARCH)}
        # Only heads of calls that began in this round count: what was sent before it tells of the
        # limit that was.
        self._round = self._heads = 0
        self._peak = self._last_peak = 0
        self._step = 1.0
        self._starting = True
        self._slow_rounds = self._rounds_at_least = 0
        self._overloaded = False
        self._measuring: float | None = None
        self._measure_at = self._next_measurement(now)

    @property
    def in_flight(self) -> int:
        return self.questions + self.documents

    @property
    def retry_after_s(self) -> int:
        """When a place is likely to be free: after the time of a question; 1 to 30 s."""
        unloaded_s = self._times[Work.QUESTION].unloaded_s or 0.0
        return min(max(ceil(unloaded_s * self._rules.tolerance), 1), 30)

    def has_room(self, work: Work, now: float) -> bool:
        """Whether such a call may be made now."""
        if now >= self._measure_at:
            self._measure_if_overloaded(now)
        if work.goes_first:
            return self.documents < _DOCUMENT_CALLS * int(max(self.limit, self._rules.first))
        return self.questions < int(self.limit if self._measuring is None else self._measuring)

    def refuse(self) -> None:
        """A call was turned away, so that the limit is one that matters."""
        if self._measuring is None:
            self._overloaded = True

    def take(self, work: Work) -> Place:
        if work.goes_first:
            self.documents += 1
        else:
            self.questions += 1
        self._peak = max(self._peak, self.questions)
        return Place(self, work, self._round)

    # --- what a place tells ---------------------------------------------------------------------

    def _give_back(self, work: Work) -> None:
        if work.goes_first:
            self.documents -= 1
        else:
            self.questions -= 1

    def _is_slow(self, work: Work, time_s: float) -> bool:
        return time_s > self._tolerated_s(self._times[work].unloaded_s or 0.0, 1)

    def _count_slow(self, work: Work, time_s: float, round_: int) -> None:
        """At least as long as halves the limit, if all were so. It is no time without load."""
        unloaded_s = self._times[work].unloaded_s
        if unloaded_s is not None and self._measuring is None:
            least_s = 2 * self._tolerated_s(unloaded_s, 1)
            self._count(work, max(time_s, least_s), round_)

    def _count(self, work: Work, time_s: float, round_: int) -> None:
        if round_ != self._round:
            return
        times = self._times[work]
        times.add(time_s)
        if times.unloaded_s is None and self._measuring is None:
            if times.count >= self._rules.measured_heads:
                times.measure()
            return
        self._heads += 1
        if self._measuring is not None:
            if self._heads >= max(self._rules.measured_heads, int(self._measuring)):
                self._end_measurement()
        elif self._heads >= max(self._rules.heads, int(self.limit)):
            self._adapt()

    # --- the limit ------------------------------------------------------------------------------

    def _tolerated_s(self, unloaded_s: float, count: int) -> float:
        return self._rules.tolerance * unloaded_s + count * self._rules.slack_s

    def _adapt(self) -> None:
        known = [one for one in self._times.values() if one.count and one.unloaded_s is not None]
        taken_s = sum(one.sum_s for one in known)
        tolerated_s = self._tolerated_s(sum(one.expected_s for one in known), self._heads)
        for one in known:
            one.follow_down()
        if taken_s > tolerated_s:
            self._shrink(max(tolerated_s / taken_s, 0.5))
        else:
            self._slow_rounds = self._rounds_at_least = 0
            # A limit that is not used says nothing about what the core could take.
            if self._peak >= self.limit / 2:
                self._grow()
        self._next_round()
        if self._rounds_at_least >= _ROUNDS_AT_LEAST:
            self._begin_measurement()

    def _shrink(self, factor: float) -> None:
        self.limit = max(self._rules.least, self.limit * factor)
        self._starting, self._step = False, 1.0
        self._slow_rounds += 1
        self._rounds_at_least += self.limit <= self._rules.least
        # One slow round may be chance; a measurement refuses calls, so it needs better reasons.
        if self._slow_rounds > 1:
            self._overloaded = True

    def _grow(self) -> None:
        step = self.limit if self._starting else min(self._step, sqrt(self.limit))
        self._step *= 2
        self.limit = min(self._rules.most, self.limit + step)

    def _next_round(self) -> None:
        self._round += 1
        self._heads = 0
        self._last_peak, self._peak = self._peak, self.questions
        for one in self._times.values():
            if one.unloaded_s is not None:
                one.clear()

    # --- the time without load ------------------------------------------------------------------

    def _next_measurement(self, now: float) -> float:
        """At the same times on the wall for all workers and replicas."""
        every_s, ahead_s = self._rules.measure_every_s, self._rules.ahead_s
        return ((now + ahead_s) // every_s + 1) * every_s - ahead_s

    def _measure_if_overloaded(self, now: float) -> None:
        self._measure_at = self._next_measurement(now)
        if self._overloaded and self._measuring is None:
            self._begin_measurement()
        self._overloaded = False

    def _begin_measurement(self) -> None:
        under_way = min(self.limit, max(self._peak, self._last_peak))
        self._next_round()
        self._rounds_at_least = 0
        self._measuring = max(1.0, under_way / _MEASURED_SHARE)

    def _end_measurement(self) -> None:
        self._measuring = None
        for one in self._times.values():
            # One or two heads are no measurement of a kind.
            if one.count >= min(3, self._rules.measured_heads):
                one.measure()
        self._next_round()
