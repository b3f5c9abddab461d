"""One timer for the clocks of all open streams of a worker."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger("gateway.relay")

TICK_S = 0.25
# In how many parts an interval goes through the streams, at most, and how many are worth a part.
PARTS = 10
WORTH_A_PART = 25


class Ticked(Protocol):
    def tick(self, now: float) -> None: ...


class Ticker:
    """Calls every open stream a few times a second: one timer a worker, not one a stream.

    A part of them at a time: all at once they would hold up whatever event comes meanwhile.
    """

    def __init__(self, interval_s: float = TICK_S) -> None:
        self._interval_s = interval_s
        self._streams: dict[Ticked, None] = {}
        # Those still to be called in this interval, in how many parts, and how many a part is.
        self._round: list[Ticked] = []
        self._parts = 1
        self._at_once = 1
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream: Ticked) -> None:
        self._streams[stream] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._tick)

    def remove(self, stream: Ticked) -> None:
        self._streams.pop(stream, None)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not self._round:
            self._round = list(self._streams)
            self._parts = min(max(len(self._round) // WORTH_A_PART, 1), PARTS)
            # Of those there are now: were it those there still are, a round that most have left
            # would go on for minutes, and nobody's clock be looked at meanwhile.
            self._at_once = -(-len(self._round) // self._parts)
        part, self._round = self._round[: self._at_once], self._round[self._at_once :]
        for stream in part:
            if stream in self._streams:
                self._call(stream, now)
        if not self._streams:
            self._round, self._timer = [], None
            return
        self._timer = loop.call_later(self._interval_s / self._parts, self._tick)

    def _call(self, stream: Ticked, now: float) -> None:
        try:
            stream.tick(now)
        except Exception:
            # One stream's fault must not stop the clocks of all others.
            log.exception("tick_failed")
