"""Connections to gRPC cores: each is one HTTP/2 connection, used by many calls at once.

What flows which way: ``GrpcConnections.use`` gives a call its place on a connection that stands,
or says in httpx's exceptions why there is none; the call gives the place back. Which address it
goes to is decided before: a channel here has one address and never looks for another.

A channel is kept for as long as its connection stands. One that was lost, or never came about, is
made anew for the next call: so a core that comes back is found by the first call that asks, as
over REST, and not when gRPC's own pause is over.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx

from gateway.domain.balancing import Address
from gateway.http_client.slots import Slot, Slots

# Many servers take 100 calls on a connection at a time (RFC 9113 recommends no less); what is more
# would wait in the channel, unseen. It also bounds what is lost with one connection.
CALLS_PER_CONNECTION = 100
# A ping while calls are under way, and how long its answer may take. Servers are to allow it: those
# of gRPC put up with the two that may come without data between them.
KEEPALIVE_S = 30.0
KEEPALIVE_ANSWER_S = 10.0
# What a message has beside the event in it; how large the event itself is the stream's to judge.
MESSAGE_MARGIN_BYTES = 1024

CORE_SERVICE = "knowledge.core.v1.CoreService"

Option = tuple[str, int | str]


class Connection:
    """One channel, and what was made on it. ``calls`` have their place here, sent or not."""

    __slots__ = ("_methods", "_was_ready", "calls", "channel")

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.calls = 0
        self._was_ready = False
        self._methods: dict[str, Any] = {}

    def unary(self, path: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
        """Calls ``path`` with a message's bytes, for a message's bytes."""
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = self.channel.unary_unary(path)
        return method

    def streaming(self, path: str) -> grpc.aio.UnaryStreamMultiCallable[bytes, bytes]:
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = self.channel.unary_stream(path)
        return method

    @property
    def is_lost(self) -> bool:
        """Whether it stood and stands no more, or cannot come about."""
        state = self.channel.get_state()
        if self._was_ready:
            return state is not grpc.ChannelConnectivity.READY
        return state in (
            grpc.ChannelConnectivity.TRANSIENT_FAILURE,
            grpc.ChannelConnectivity.SHUTDOWN,
        )

    async def ready(self, within_s: float) -> None:
        """Raises ``httpx.ConnectError`` or ``httpx.ConnectTimeout`` where it does not stand."""
        if self._was_ready:
            return
        try:
            async with asyncio.timeout(within_s):
                await self._ready()
        except TimeoutError as exc:
            raise httpx.ConnectTimeout("no connection in time") from exc
        self._was_ready = True

    async def _ready(self) -> None:
        state = self.channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if self.is_lost:
                raise httpx.ConnectError(state.name)
            await self.channel.wait_for_state_change(state)
            state = self.channel.get_state(try_to_connect=True)


class Use:
    """A call's place on a connection; ``release`` works once, more calls do nothing."""

    __slots__ = ("_connections", "_slot", "connection")

    def __init__(self, connections: GrpcConnections, connection: Connection, slot: Slot) -> None:
        self.connection = connection
        self._connections: GrpcConnections | None = connections
        self._slot = slot

    def release(self) -> None:
        connections, self._connections = self._connections, None
        if connections is not None:
            self._slot.release()
            connections.give_back(self.connection)


class GrpcConnections:
    """The connections of one event loop to all addresses; make it where that loop runs.

    Args:
        limit: calls under way at once; more of them wait.
        message_limit_bytes: of an answer that is one message.
        event_limit_bytes: of one message of a streamed answer.
        keepalive_s: how long after the last word of the other side it is pinged, while calls are
            under way.
        keepalive_answer_s: how long that ping may go unanswered.
        credentials: asked for each new connection to a ``grpcs`` address. Raises
            ``httpx.ConnectError`` where there are none that can be used.
    """

    def __init__(
        self,
        *,
        limit: int,
        message_limit_bytes: int,
        event_limit_bytes: int,
        credentials: Callable[[], grpc.ChannelCredentials],
        keepalive_s: float = KEEPALIVE_S,
        keepalive_answer_s: float = KEEPALIVE_ANSWER_S,
    ) -> None:
        self.slots = Slots(limit)
        self._credentials = credentials
        self._options = [
            *_options(message_limit_bytes, event_limit_bytes + MESSAGE_MARGIN_BYTES),
            ("grpc.keepalive_time_ms", int(keepalive_s * 1000)),
            ("grpc.keepalive_timeout_ms", int(keepalive_answer_s * 1000)),
            # gRPC also pings to measure; while such a ping is out, none of ours is sent.
            ("grpc.http2.ping_timeout_ms", int(keepalive_answer_s * 1000)),
        ]
        self._of: dict[Address, list[Connection]] = {}
        # No new call gets a place on these: they are closed once their last one has ended.
        self._retired: set[Connection] = set()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def open_connections(self) -> int:
        return sum(map(len, self._of.values())) + len(self._retired)

    @property
    def idle_connections(self) -> int:
        return sum(not one.calls for some in self._of.values() for one in some)

    async def use(self, address: Address, *, connect_s: float, pool_s: float) -> Use:
        """A place on a connection that stands.

        Raises:
            httpx.PoolTimeout, ConnectError, ConnectTimeout: there is none; nothing was sent.
        """
        slot = self.slots.take() or await self._wait_for_slot(pool_s)
        try:
            connection = self._with_room(address) or self._connect(address)
        except BaseException:
            slot.release()
            raise
        connection.calls += 1
        use = Use(self, connection, slot)
        try:
            await connection.ready(connect_s)
        except BaseException as exc:
            if isinstance(exc, httpx.TransportError):
                self._retire(address, connection)
            use.release()
            raise
        return use

    def give_back(self, connection: Connection) -> None:
        """A call on it has ended."""
        connection.calls -= 1
        if connection in self._retired and not connection.calls:
            self._retired.discard(connection)
            self._close(connection)

    def keep_only(self, addresses: Collection[Address]) -> None:
        """Retires the connections to all others: their names lead elsewhere now."""
        kept = frozenset(addresses)
        for address in [one for one in self._of if one not in kept]:
            self._retire_all(address)

    def renew(self) -> None:
        """New calls get new connections; calls under way keep theirs."""
        for address in list(self._of):
            self._retire_all(address)

    async def aclose(self) -> None:
        """Ends every call that is still under way."""
        self.renew()
        for connection in list(self._retired):
            self._close(connection)
        self._retired.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _wait_for_slot(self, timeout_s: float) -> Slot:
        try:
            return await self.slots.acquire(timeout_s)
        except TimeoutError as exc:
            raise httpx.PoolTimeout("no slot came free in time") from exc

    def _with_room(self, address: Address) -> Connection | None:
        """The one with the fewest calls, where it may have one more."""
        some = self._of.get(address, [])
        for connection in [one for one in some if one.is_lost]:
            self._retire(address, connection)
        least = min(some, key=lambda one: one.calls, default=None)
        return None if least is None or least.calls >= CALLS_PER_CONNECTION else least

    def _connect(self, address: Address) -> Connection:
        url = urlsplit(address.base_url)
        options = [*self._options, ("grpc.default_authority", url.netloc)]
        target = _target(address, url.hostname or "", url.port)
        if url.scheme == "grpcs":
            options.append(("grpc.ssl_target_name_override", url.hostname or ""))
            channel = grpc.aio.secure_channel(target, self._credentials(), options)
        else:
            channel = grpc.aio.insecure_channel(target, options)
        connection = Connection(channel)
        self._of.setdefault(address, []).append(connection)
        return connection

    def _retire_all(self, address: Address) -> None:
        for connection in list(self._of.get(address, ())):
            self._retire(address, connection)

    def _retire(self, address: Address, connection: Connection) -> None:
        some = self._of.get(address, [])
        if connection not in some:
            return
        some.remove(connection)
        if not some:
            del self._of[address]
        if connection.calls:
            self._retired.add(connection)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        task = asyncio.ensure_future(connection.channel.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _target(address: Address, host: str, port: int | None) -> str:
    """A look-up that was made is not made again; a host of the setting is gRPC's to look up."""
    if address.connect_to is None:
        shown = f"[{host}]" if ":" in host else host
        return f"dns:///{shown}:{port}"
    ip, port = address.connect_to
    return f"ipv6:[{ip}]:{port}" if ":" in ip else f"ipv4:{ip}:{port}"


def _options(message_limit_bytes: int, event_limit_bytes: int) -> list[Option]:
    limits = {
        "methodConfig": [
            {"name": [name], "maxResponseMessageBytes": limit}
            for name, limit in (
                ({"service": CORE_SERVICE, "method": "Query"}, event_limit_bytes),
                ({"service": CORE_SERVICE}, message_limit_bytes),
            )
        ]
    }
    return [
        ("grpc.primary_user_agent", "kb-gateway"),
        # The environment is asked for no proxy, and the DNS for no configuration.
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.service_config", json.dumps(limits)),
        # The larger one of both; what a method may is in the service configuration.
        ("grpc.max_receive_message_length", max(message_limit_bytes, event_limit_bytes)),
        # Else channels to one address would share one connection, and a broken one its pause.
        ("grpc.use_local_subchannel_pool", 1),
    ]
