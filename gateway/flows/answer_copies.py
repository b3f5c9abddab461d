"""Two streams of the core that the answer cache puts in: one that copies, and one that replays.

Both are ``ports.CoreStream``. The relay, its clocks, its backpressure and its endings stand above
them and know nothing of it: what is replayed goes the way that it went the first time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, cast

from gateway.domain.kept_answers import KeptAnswers
from gateway.domain.plain_events import Framing
from gateway.errors import GatewayError
from gateway.ports import CoreSink, CoreStream

# A client that takes nothing holds no more than this in its connection, whatever is kept.
PIECE_BYTES = 16 * 1024
# One that is known to go out as it is need not be taken apart, and may be what any stream may have
# standing in its connection (``HIGH_WATER_BYTES``).
WHOLE_BYTES = 64 * 1024


class Copy(NamedTuple):
    """``data`` is what the core sent; ``None`` where it was not copied to the end."""

    data: bytes | None
    is_too_long: bool = False


class CopiedStream:
    """Passes a core's answer on and copies it, as long as there is room for it.

    Args:
        room: where the copy is to be kept; what is copied counts there from the first byte.
        over: called once, when the copy ends: as the stream is left, or earlier where there is no
            room for more. It gives a whole copy's bytes back to ``room``.
    """

    __slots__ = ("_copied", "_inner", "_over", "_room", "_sink")

    def __init__(self, inner: CoreStream, room: KeptAnswers, over: Callable[[Copy], None]) -> None:
        self._inner = inner
        self._room = room
        self._over = over
        self._copied: bytearray | None = bytearray()
        self._sink: CoreSink | None = None

    def attach(self, sink: CoreSink) -> None:
        self._sink = sink
        self._inner.attach(self)

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.resume()

    async def aclose(self) -> None:
        copied, self._copied = self._copied, None
        if copied is not None:
            self._over(Copy(bytes(copied)))
        await self._inner.aclose()

    # --- what the core's stream calls -------------------------------------------------------------

    def received(self, data: bytes) -> None:
        self._add(data)
        assert self._sink is not None
        self._sink.received(data)

    def framed_taker(
        self, parse: Callable[[bytes], None], framing: Framing
    ) -> Callable[[bytes], None]:
        """Whole frames are copied here; what the sink's taker leaves to ``parse`` comes again."""
        assert self._sink is not None
        taken, unframed, add = self._sink.framed_taker(parse, framing), framing.unframed, self._add

        def take(data: bytes) -> None:
            if body := unframed(data):
                add(body)
            taken(data)

        return take

    def ended(self, error: GatewayError | None) -> None:
        assert self._sink is not None
        self._sink.ended(error)

    def _add(self, data: bytes) -> None:
        copied = self._copied
        if copied is None:
            return
        is_too_long = len(copied) + len(data) > self._room.answer_limit_bytes
        if is_too_long or not self._room.reserve(len(data)):
            self._copied = None
            self._room.give_back(len(copied))
            self._over(Copy(None, is_too_long))
        else:
            copied += data


class ReplaySink(CoreSink, Protocol):
    """A sink that can be given an answer as a whole; ``flows.relay.Relay`` is one."""

    def replayed(self, data: bytes, events: int) -> None: ...


class ReplayedStream:
    """A kept answer, pushed as a core would: piece by piece, and no further while it is paused.

    One that is no longer than a piece is given as a whole where it was counted before (``events``).
    """

    __slots__ = ("_cuts", "_data", "_events", "_is_paused", "_is_pushing", "_sink")

    def __init__(self, data: bytes, events: int = 0) -> None:
        self._data = data
        self._events = events if len(data) <= PIECE_BYTES else 0
        self._cuts: list[int] = []
        self._sink: CoreSink | None = None
        self._is_paused = self._is_pushing = False

    def attach(self, sink: CoreSink) -> None:
        if self._events:
            cast(ReplaySink, sink).replayed(self._data, self._events)
            sink.ended(None)
            return
        self._sink, self._cuts = sink, _cuts(self._data)
        self._push()

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        self._push()

    async def aclose(self) -> None:
        self._sink = None

    def _push(self) -> None:
        if self._is_pushing:
            return  # whoever took a piece had room again at once
        self._is_pushing = True
        try:
            self._push_on()
        finally:
            self._is_pushing = False

    def _push_on(self) -> None:
        cuts = self._cuts
        while self._sink is not None and not self._is_paused and len(cuts) > 1:
            begin, end = cuts[-1], cuts[-2]
            cuts.pop()
            self._sink.received(self._data[begin:end])
        if self._sink is not None and len(cuts) == 1:
            cuts.pop()
            self._sink.ended(None)


def _cuts(data: bytes) -> list[int]:
    """Where the pieces begin, the first one last: first event, last event, and what is between.

    Any cut would do. With these all but two events are recognised without a parse, where their
    lines end in LF.
    """
    first = data.find(b"\n\n") + 2
    last = data.rstrip(b"\r\n").rfind(b"\n\n") + 2
    if not 1 < first < last:
        first, last = 0, len(data)
    between = range(first, last, PIECE_BYTES)
    return sorted({0, *between, last, len(data)}, reverse=True)
