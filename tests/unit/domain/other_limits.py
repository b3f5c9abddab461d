"""The rules that the adaptive limit was compared with, written from their descriptions.

``Aimd``: one more while heads come in time, a tenth less when one does not; the time is set by
hand. ``Gradient2``: the limit follows the quotient of a long average of times and the present one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from gateway.domain.adaptive_limit import AdaptiveLimit, LimitRules, Work


class Adaptive:
    """The rule that was chosen, as questions use it; ``ahead_s`` is this worker's clock."""

    def __init__(self, rules: LimitRules | None = None, ahead_s: float = 0.0) -> None:
        self.rule = AdaptiveLimit(rules or LimitRules(ahead_s=ahead_s), 0.0)

    @property
    def limit(self) -> float:
        return self.rule.limit

    def take(self, now: float) -> Callable[[float], None] | None:
        if not self.rule.has_room(Work.QUESTION, now):
            self.rule.refuse()
            return None
        place = self.rule.take(Work.QUESTION)
        place.sent(now)
        return place.headed


class _Counting:
    """What both have in common: a limit, calls under way, and a time for each."""

    def __init__(self) -> None:
        self.limit = 10.0
        self._in_flight = 0

    def take(self, now: float) -> Callable[[float], None] | None:
        if self._in_flight >= int(self.limit):
            return None
        self._in_flight += 1

        def headed(then: float) -> None:
            self._took(then - now)
            self.limit = min(max(self.limit, 2.0), 1000.0)
            self._in_flight -= 1

        return headed

    def _took(self, time_s: float) -> None:
        raise NotImplementedError


class Aimd(_Counting):
    def __init__(self, tolerated_s: float) -> None:
        super().__init__()
        self._tolerated_s = tolerated_s

    def _took(self, time_s: float) -> None:
        if time_s > self._tolerated_s:
            self.limit *= 0.9
        elif self._in_flight * 2 >= self.limit:
            self.limit += 1


class Gradient2(_Counting):
    """With a queue of 4, a tolerance of 1.5, and the average of about 600 heads."""

    def __init__(self) -> None:
        super().__init__()
        self._long_s = 0.0
        self._heads = count(1)

    def _took(self, time_s: float) -> None:
        self._long_s += (time_s - self._long_s) * max(1 / next(self._heads), 2 / 601)
        if self._long_s > 2 * time_s:
            self._long_s *= 0.95
        if self._in_flight * 2 >= self.limit:
            gradient = min(max(1.5 * self._long_s / time_s, 0.5), 1.0)
            self.limit += 0.2 * (self.limit * gradient + 4 - self.limit)
