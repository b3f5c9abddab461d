"""A core that pushes what a test puts into its mouth, one piece a turn of the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

from gateway.domain.stream_state import StreamLimits, StreamState
from gateway.errors import GatewayError
from gateway.ports import Core, CoreSink, OnBehalfOf

WHO = OnBehalfOf("ann", "acme", frozenset({"reader"}), "req-1")

# Bytes, the body's proper end, how the transfer broke, or a fault of ours over the next read.
Said = bytes | None | GatewayError | RuntimeError


def far_limits(**near: Any) -> StreamLimits:
    """Clocks that a test does not mean to strike are far away."""
    far = dict.fromkeys(("first_event_s", "idle_s", "total_s", "ping_s", "early_head_s"), 1000000.0)
    return StreamLimits(**{**far, "event_limit_bytes": 1 << 20, **near})


class ScriptedStream:
    """Implements ``CoreStream``; counts what was pushed and how often it was closed."""

    def __init__(self) -> None:
        self.said: deque[Said] = deque()
        self.sink: CoreSink | None = None
        self.pushed = 0
        self.closed = 0
        self.paused = False
        self._is_due = False

    def attach(self, sink: CoreSink) -> None:
        self.sink = sink
        self.go_on()

    def go_on(self) -> None:
        """Pushes the next piece in the loop's next turn, where one may be pushed."""
        if self.sink and self.said and not (self._is_due or self.paused or self.closed):
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._push)

    def _push(self) -> None:
        self._is_due = False
        if self.sink is None or self.paused or self.closed:
            return
        item = self.said.popleft()
        self.pushed += 1
        if isinstance(item, bytes):
            self.sink.received(item)
        elif isinstance(item, RuntimeError):
            with mock.patch.object(StreamState, "feed", side_effect=item):
                self.sink.received(b"event: done\ndata: {}\n\n")
        else:
            self.sink.ended(item)
        self.go_on()

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        self.go_on()

    async def aclose(self) -> None:
        self.closed += 1


class ScriptedCore:
    """Opens when ``opens`` says so: at once unless a test takes it over."""

    def __init__(self, *said: Said) -> None:
        self.stream = ScriptedStream()
        self.say(*said)
        self.opens = asyncio.Event()
        self.opens.set()
        self.refusal: Exception | None = None
        self.on_sent: Callable[[], None] | None = None
        self.cancelled = False
        self.asked: list[tuple[OnBehalfOf, Mapping[str, Any]]] = []

    def say(self, *items: Said) -> None:
        self.stream.said.extend(items)
        if self.stream.sink is not None:
            self.stream.go_on()

    async def open_query(
        self,
        who: OnBehalfOf,
        body: Mapping[str, Any],
        on_sent: Callable[[], None] | None = None,
    ) -> ScriptedStream:
        self.asked.append((who, body))
        self.on_sent = on_sent
        try:
            await self.opens.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.refusal is not None:
            raise self.refusal
        return self.stream

    def as_port(self) -> Core:
        return self  # type: ignore[return-value]  # only open_query is asked for here


class TakingClient:
    """Implements ``flows.relay.Client``: takes every piece, and has room unless it is ``full``."""

    send_framed = None
    send_usual = None

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.full = False
        self.is_stalled = False
        self.room: list[Callable[[], None]] = []

    def send(self, data: bytes) -> bool:
        self.got.append(data)
        return not self.full

    def on_room(self, call: Callable[[], None]) -> None:
        self.room.append(call)

    def stalled(self, now: float) -> bool:
        return self.is_stalled
