"""From a request for an upgrade to a socket, and what a worker keeps of all its sockets.

What is wrong with the upgrade is refused as any request is, with its HTTP status; what is wrong
with a credential that a page sends (which can be shown no status) is told by the close code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import cast

from sanic import Request
from sanic.compat import Header
from sanic.exceptions import RequestCancelled

from gateway.domain.limit_counts import network_of
from gateway.domain.websocket import Upgrade, read_upgrade
from gateway.edge.http.pipeline import Pipeline
from gateway.edge.observe import access_log
from gateway.edge.scope import Scope, SocketEnd, scope_of
from gateway.edge.wire.client_stream import Progress, cut, forget_head
from gateway.edge.wire.connections import Connections
from gateway.edge.wire.http1 import GuardedHttp
from gateway.edge.wire.protocol import GuardedProtocol
from gateway.edge.wire.request import GatewayRequest
from gateway.edge.ws.connection import Connection
from gateway.edge.ws.session import Asking, Session
from gateway.errors import Forbidden, MalformedRequest, Overloaded, UpgradeRequired
from gateway.flows.relay import ClientStalled
from gateway.ports import Clock
from gateway.telemetry.metric import OTHER
from gateway.telemetry.samples import Sample
from gateway.telemetry.stream_metrics import CLOSE_CODES, SOCKETS_CLOSED, SOCKETS_OPEN

# Sockets of which it is not known who is behind them: they cost as much as any.
UNSIGNED_LIMIT = 256
UNSIGNED_PER_ADDRESS = 16
# What a question takes over from the upgrade's head: where it comes from, and its trace.
_TAKEN_OVER = ("x-forwarded-for", "forwarded", "traceparent")


class Unsigned:
    """Counts the sockets that are not signed in, by address; an IPv6 one by its /64."""

    def __init__(self) -> None:
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._by_address.total()

    def take(self, address: str) -> Callable[[], None]:
        """A place for one more; what is returned gives it back, once.

        Raises:
            Overloaded: there are too many.
        """
        address = network_of(address) if address else ""
        if len(self) >= UNSIGNED_LIMIT or self._by_address[address] >= UNSIGNED_PER_ADDRESS:
            raise Overloaded
        self._by_address[address] += 1
        taken = [address]

        def give_back() -> None:
            if taken:
                self._by_address[taken.pop()] -= 1
                self._by_address += Counter()  # without those that have none

        return give_back


class Sockets:
    """The sockets of a worker.

    Attributes:
        unsigned: those that are not signed in.
        closed: how many were closed with which code.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        connections: Connections,
        clock: Clock,
        *,
        ping_s: float,
        pong_s: float,
    ) -> None:
        self._pipeline = pipeline
        self._connections = connections
        self._clock = clock
        self._ping_s, self._pong_s = ping_s, pong_s
        self._open = 0
        self.unsigned = Unsigned()
        self.closed: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._open

    def samples(self) -> Iterator[Sample]:
        """What is counted here, for the metrics."""
        unsigned = len(self.unsigned)
        yield SOCKETS_OPEN, ("signed_in",), max(self._open - unsigned, 0)
        yield SOCKETS_OPEN, ("unsigned",), unsigned
        for code, number in self.closed.items():
            yield SOCKETS_CLOSED, (code,), number

    def lifetime_s(self, expires_at: float) -> float:
        return expires_at - self._clock.time()

    async def serve(self, request: Request, asking: Asking) -> None:
        """Upgrades the request's connection and keeps its socket to the end.

        Raises:
            GatewayError: the upgrade is refused.
        """
        scope = scope_of(request)
        upgrade = self._read(request)
        await self._identify(request, scope, upgrade)
        give_back = _nothing if scope.principal else self.unsigned.take(scope.client_ip)
        try:
            connection = await self._switch(request, upgrade)
            session = Session(connection, self._pipeline, scope, asking, give_back)
            connection.listener = session
            session.begin(upgrade.bearer)
            await self._keep(request, connection, session)
        finally:
            give_back()

    def _read(self, request: Request) -> Upgrade:
        headers = request.headers
        if request.method != "GET" or request.version != "1.1":
            raise UpgradeRequired
        upgrade = read_upgrade(lambda name: headers.getall(name, []))
        if "content-length" in headers or "transfer-encoding" in headers:
            raise MalformedRequest("An upgrade has no body.")
        if not self._pipeline.admits_origin(request):
            raise Forbidden("Pages of this origin may not open a socket.")
        return upgrade

    async def _identify(self, request: Request, scope: Scope, upgrade: Upgrade) -> None:
        """By the headers, where they say it; two credentials are refused there, too."""
        authorization = list(request.headers.getall("authorization", []))
        api_key = request.headers.getall("x-api-key", [])
        session = self._pipeline.session_of(request)
        if not authorization and not api_key and not session:
            return
        if upgrade.bearer is not None:
            authorization.append(f"Bearer {upgrade.bearer}")
        await self._pipeline.identify(scope, authorization, api_key, session)

    async def _switch(self, request: Request, upgrade: Upgrade) -> Connection:
        """Answers the upgrade. What came behind it would be read as frames by nobody else."""
        guarded = cast(GuardedProtocol, request.protocol)
        progress = Progress(guarded, self._pong_s)
        try:
            await progress.room()
        except ClientStalled:
            cut(request)
            raise RequestCancelled from None
        if guarded.recv_buffer or guarded.half_closed:
            cast(GuardedHttp, request.stream).keep_alive = False
            raise MalformedRequest("Nothing may follow an upgrade before it is answered.")
        connection = Connection(
            guarded, self._connections, ping_s=self._ping_s, pong_s=self._pong_s
        )
        told = self._pipeline.ending_fields(request)
        guarded.transport.write(_answer(upgrade, scope_of(request).request_id, told))
        guarded.hand_over(connection)
        return connection

    async def _keep(self, request: Request, connection: Connection, session: Session) -> None:
        scope = scope_of(request)
        scope.streamed = True
        forget_head(request)
        self._open += 1
        try:
            await connection.gone
        finally:
            if not connection.gone.done():
                connection.abort("stopped")
            await session.end()
            self._open -= 1
            code = str(connection.close_code)
            self.closed[code if code in CLOSE_CODES else OTHER] += 1
            scope.socket_end = SocketEnd(connection.close_code, connection.outcome, session.asked)
            access_log.write(request, scope, 101, 0)


def _nothing() -> None:
    """A place that was never taken is given back."""


def _answer(upgrade: Upgrade, request_id: str, told: Iterable[tuple[str, str]]) -> bytes:
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {upgrade.accept}",
        f"X-Request-ID: {request_id}",
        *(f"{name}: {text}" for name, text in told),
    ]
    if upgrade.subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {upgrade.subprotocol}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def requests_for(upgraded: Request, method: str, path: str) -> Callable[[], Request]:
    """Makes what stands for a question in the pipeline: a request of ``method`` for ``path``.

    It has no head and no body; the policy, the limits and the log see the route that they know.
    """
    app, headers = upgraded.app, upgraded.headers
    route, _, _ = app.router.get(path, method, None)
    pairs = [(name, text) for name in _TAKEN_OVER for text in headers.getall(name, [])]
    conn_info, transport = upgraded.conn_info, upgraded.transport

    def make() -> Request:
        request = GatewayRequest(path.encode(), Header(pairs), "1.1", method, transport, app)
        request.route, request.conn_info = route, conn_info
        request._match_info = {}
        return request

    return make
