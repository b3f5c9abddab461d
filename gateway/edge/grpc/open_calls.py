"""Calls that grpc has not ended: how many an address has, and what becomes of those nobody takes.

grpc accepts connections by itself and tells nobody of them, so it is calls that are counted by
address here: over HTTP/1 a connection has one. Nor lets it a server cancel a call: the end of one
waits until the client has taken what came before. So where nothing else is under way on a
connection, that is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import structlog

from gateway.edge.grpc.peer import Context, client_of
from gateway.edge.grpc.sockets import cut
from gateway.edge.scope import now_s
from gateway.edge.wire.connections import Connections
from gateway.errors import Overloaded

log = structlog.get_logger("gateway.grpc")


class OpenCall:
    """One call, until grpc has ended it.

    Attributes:
        since_s: since when its end waits for the client, monotonic; ``None`` before.
    """

    __slots__ = ("peer", "since_s")

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.since_s: float | None = None


class OpenCalls:
    """Those of a worker; its connections over HTTP count for the same addresses."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._stall_s = connections.limits.stall_s
        self._by_peer: dict[str, set[OpenCall]] = {}
        self._ending: set[OpenCall] = set()

    def begin(self, context: Context, address: str) -> OpenCall:
        """Counts a call from ``address`` until grpc has ended it.

        Raises:
            Overloaded: the address has as many as one may.
        """
        self._take_place(context, address)
        call = OpenCall(context.peer())
        self._by_peer.setdefault(call.peer, set()).add(call)
        _when_over(context, partial(self._over, call))
        return call

    def begin_watch(self, context: Context) -> None:
        """Counts one that may last for ever and asks for little: it holds no connection open.

        Raises:
            Overloaded: its address has as many as one may.
        """
        self._take_place(context, client_of(context, self._connections.trusted))

    def answered(self, call: OpenCall, *, stalled: bool) -> None:
        """All was said: what is left is for the client to take, which did not if ``stalled``."""
        call.since_s = now_s() - (self._stall_s if stalled else 0.0)
        self._ending.add(call)

    async def cut_stalled(self, port: int) -> None:
        """Cuts connections to ``port`` with nothing but calls whose client takes nothing."""
        latest_s = now_s() - self._stall_s
        late = {call for call in self._ending if _is_late(call, latest_s)}
        peers = {call.peer for call in late}
        stalled = {peer for peer in peers if self._by_peer[peer] <= late}
        if stalled:
            await self._cut(stalled, port)

    async def _cut(self, peers: set[str], port: int) -> None:
        try:
            number = await asyncio.to_thread(cut, peers, port)
        except OSError as problem:
            log.warning("stalled calls stay", number=len(peers), reason=str(problem))
        else:
            log.info("connections of stalled calls cut", number=number)

    def _take_place(self, context: Context, address: str) -> None:
        connections = self._connections
        if not address or connections.is_proxy(address):
            return
        if not connections.take_place(address):
            raise Overloaded
        _when_over(context, partial(connections.give_place, address))

    def _over(self, call: OpenCall) -> None:
        self._ending.discard(call)
        of_peer = self._by_peer[call.peer]
        of_peer.discard(call)
        if not of_peer:
            del self._by_peer[call.peer]


def _when_over(context: Context, do: Callable[[], None]) -> None:
    # To its stub a callback is of a class that it does not have.
    cast(Any, context).add_done_callback(lambda _context: do())


def _is_late(call: OpenCall, latest_s: float) -> bool:
    return call.since_s is not None and call.since_s <= latest_s
