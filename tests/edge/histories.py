"""What was asked of a limit and what passed, and whether any window of it was too full."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from .raw import request
from .served import Served

ME = "/api/v1/auth/me"
Moment = tuple[float, float]


@dataclass
class History:
    """Requests with when each was sent and answered, and its status.

    Attributes:
        lost: those that got no answer, because their worker was killed.
        emptied: when all that was counted was forgotten.
        headers: what all show; without it the token of the first replica.
        broken: what was said where the gateway or something behind it failed.
    """

    asked: list[tuple[float, float, int]] = field(default_factory=list)
    lost: int = 0
    emptied: list[Moment] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    broken: list[bytes] = field(default_factory=list)

    async def ask(self, running: Served) -> None:
        """On a connection of its own, so that any worker may have it."""
        sent = time.monotonic()
        try:
            answer = await running.send(request("GET", ME, self.headers))
        except (OSError, asyncio.IncompleteReadError):
            self.lost += 1
            return
        self.asked.append((sent, time.monotonic(), answer.status))
        if answer.status >= 500:
            self.broken.append(answer.body)

    async def ask_in_bunches(
        self, replicas: Sequence[Served], *, lasts_s: float, rate: float, burst: int
    ) -> float:
        """Of up to twice the burst, at random moments, twice the rate and more; gives how long."""
        random, began = Random(7), time.monotonic()
        if not self.headers:
            self.headers = {"Authorization": f"Bearer {replicas[0].token}"}
        while (now := time.monotonic()) < began + lasts_s:
            bunch = random.randint(1, 2 * burst)
            await asyncio.gather(*(self.ask(random.choice(replicas)) for _ in range(bunch)))
            # When somebody asks is what this is about; it takes the time that is tested.
            due = now + bunch / (2 * rate) * random.random()
            await asyncio.sleep(max(due - time.monotonic(), 0.0))
        return max(got for _, got, _ in self.asked) - began

    @property
    def passed(self) -> list[Moment]:
        return sorted((sent, got) for sent, got, status in self.asked if status == 200)

    @property
    def statuses(self) -> set[int]:
        return {status for *_, status in self.asked}


def windows_above(
    passed: Sequence[Moment], rate: float, burst: int, emptied: Sequence[Moment] = ()
) -> list[str]:
    """Every window in which more passed than GCRA lets pass, whatever the network did meanwhile.

    A request was decided between its sending and its answer. So of those from the i-th to the j-th
    all were decided between the i-th's sending and the last answer among them. What was emptied in
    between gives one burst more.
    """
    faults = []
    for i, (began, _) in enumerate(passed):
        last = began
        for j in range(i, len(passed)):
            last = max(last, passed[j][1])
            bursts = 1 + sum(1 for start, end in emptied if start <= last and end >= began)
            most = burst * bursts + rate * (last - began)
            if j - i + 1 > most + 1e-6:
                faults.append(f"{j - i + 1} in {last - began:.3f} s, at most {most:.1f}")
    return faults
