"""Those about whom somebody outside has to be asked, who may be slow, away, or hang.

Nobody waits for the queue. ``serve`` is called once a round and returns at once: it fills the
places that are free, and each place asks about one after the other, whoever has waited longest
first. A place that got an answer goes on at once, so that a peer that answers quickly is asked
thousands of times in a round; one that got none stays empty until the next round. So a peer that is
away is asked ``at_once`` times a round at most, however many wait, and as those without an answer
go to the end of the line, everybody has a turn.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


@dataclass(slots=True)
class _Wait:
    """``since`` is monotonic seconds; ``failed``: asked in vain since then."""

    since: float
    failed: bool = False


class RecheckQueue(Generic[T]):
    """Who waits, since when, and the tasks that ask.

    Args:
        ask: asks about one and deals with the answer; false: there was none. It raises nothing, and
            ends within a time of its own.
        now: monotonic seconds.
        at_once: how many are asked about at the same time.
    """

    def __init__(
        self, ask: Callable[[T], Awaitable[bool]], now: Callable[[], float], *, at_once: int
    ) -> None:
        self._ask = ask
        self._now = now
        self._at_once = at_once
        self._waits: dict[T, _Wait] = {}
        # Who is not being asked about at present. An ``OrderedDict``, because taking the first out
        # of a long ``dict`` again and again gets slow.
        self._line: OrderedDict[T, None] = OrderedDict()
        self._places: set[asyncio.Task[None]] = set()
        self._answered_at = float("-inf")

    def __len__(self) -> int:
        return len(self._waits)

    def wait(self, one: T) -> None:
        """``one`` waits for an answer from now on, if it does not do so already."""
        if one not in self._waits:
            self._waits[one] = _Wait(self._now())
            self._line[one] = None

    def forget(self, one: T) -> None:
        """``one`` has its answer, or needs none any more."""
        self._waits.pop(one, None)
        self._line.pop(one, None)

    def is_hopeless(self, one: T, patience_s: float) -> bool:
        """Whether ``one`` has waited for ``patience_s`` seconds, and not for its turn alone.

        That is: it was asked about in vain, or nobody at all had an answer in that time.
        """
        wait = self._waits.get(one)
        if wait is None or self._now() - wait.since < patience_s:
            return False
        return wait.failed or self._answered_at < wait.since

    def serve(self) -> None:
        """Fills the free places; returns at once."""
        free = self._at_once - len(self._places)
        for _ in range(min(free, len(self._line))):
            place = asyncio.create_task(self._serve_place(), name="recheck")
            self._places.add(place)
            place.add_done_callback(self._places.discard)

    def close(self) -> None:
        """Nobody is asked any more."""
        for place in self._places:
            place.cancel()

    async def _serve_place(self) -> None:
        while self._line:
            one, _ = self._line.popitem(last=False)
            if not await self._ask(one):
                self._unanswered(one)
                return
            self._answered_at = self._now()
            self.forget(one)
            # Where an answer is at hand, in a cache, nothing in asking for it lets others run.
            await asyncio.sleep(0)

    def _unanswered(self, one: T) -> None:
        wait = self._waits.get(one)
        if wait is not None:  # else its last stream ended meanwhile
            wait.failed = True
            self._line[one] = None
