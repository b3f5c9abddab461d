"""How many connections a worker may have, and how long each stage of one may take.

Sanic gives each connection a timer of its own and restarts it at every byte, so a client that
sends a byte now and then stays for ever. Here one tick looks at all connections, and every stage
of one has a deadline that no byte moves. The time is read once a tick (``now_s``), so that noting
when a stage began costs nothing; a limit is kept to within ``TICK_S``.
"""

from __future__ import annotations

import asyncio
import fcntl
import resource
import struct
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Protocol

import structlog

from gateway.domain.forwarded import Network, is_trusted
from gateway.edge.wire.security_headers import header_lines, security_headers
from gateway.edge.wire.whole_answer import whole_error
from gateway.errors import Overloaded

log = structlog.get_logger("gateway.connections")

TICK_S = 0.5
# How long the gateway waits for a client to read a refusal, and for how many at once.
LINGER_S = 2.0
LINGERING_LIMIT = 256
# At the end of a drain: how long a connection just accepted may take to send its first byte.
FRESH_S = 1.0
# Files a worker has open beside its connections: listeners, logs, S3, Temporal, OPA.
OTHER_FILES = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Numbers are for one worker; times in seconds.

    ``head_s`` counts from a head's first byte (or from accept, for the first one), ``body_s`` from
    the head's end, ``idle_s`` from the end of the answer before. ``stall_s`` is how long a client
    may take nothing of an answer that waits for it. ``body_bytes`` is for one request.
    """

    connections: int
    per_address: int
    body_bytes: int
    head_s: float
    body_s: float
    idle_s: float
    stall_s: float


class Watched(Protocol):
    """A connection as the tick sees it; ``check`` ends one whose stage took too long."""

    def check(self, now_s: float) -> None: ...

    def leave_if_idle(self, now_s: float) -> None: ...


class Connections:
    """Who is connected to this worker, from which address, and the tick that watches them."""

    def __init__(
        self,
        limits: Limits,
        trusted: Sequence[Network] = (),
        clock: Callable[[], float] = time.monotonic,
        *,
        hsts_s: int = 0,
    ) -> None:
        self.limits = limits
        self.trusted = tuple(trusted)
        self.now_s = clock()
        self.lingering = 0
        self.security_lines = header_lines(security_headers(hsts_s))
        self._clock = clock
        self._open: set[Watched] = set()
        self._by_address: dict[str, int] = {}
        self._turned_away = 0
        self.turned_away_total = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def full(self) -> bool:
        return len(self._open) >= self.limits.connections

    def add(self, connection: Watched) -> None:
        self._open.add(connection)

    def discard(self, connection: Watched) -> None:
        self._open.discard(connection)

    def is_proxy(self, address: str) -> bool:
        """Whether many clients may connect from it: a trusted proxy, or this machine itself."""
        return is_trusted(address, self.trusted) or is_loopback(address)

    def take_place(self, address: str) -> bool:
        """One more for ``address``; false when it has as many as one address may."""
        taken = self._by_address.get(address, 0)
        if taken >= self.limits.per_address:
            return False
        self._by_address[address] = taken + 1
        return True

    def give_place(self, address: str) -> None:
        left = self._by_address[address] - 1
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]

    def close_idle(self) -> None:
        """Closes connections on which nothing is under way, nor about to be."""
        now_s = self._clock()
        for connection in tuple(self._open):
            connection.leave_if_idle(now_s)

    def turned_away(self) -> None:
        """Counted, and logged once a tick: a flood must not fill the log as well."""
        self._turned_away += 1
        self.turned_away_total += 1

    def start(self) -> None:
        self.tick(self._clock())
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self.start)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def tick(self, now_s: float) -> None:
        self.now_s = now_s
        for connection in tuple(self._open):
            connection.check(now_s)
        if self._turned_away:
            log.warning(
                "connections turned away",
                number=self._turned_away,
                open=len(self._open),
                hint="a proxy in front belongs into GATEWAY_TRUSTED_PROXIES",
            )
            self._turned_away = 0


class TurnedAway(asyncio.Protocol):
    """A connection beyond the caps: it gets a 503, and a moment to read it."""

    def __init__(self, connections: Connections, transport: asyncio.Transport) -> None:
        self._connections = connections
        self._transport = transport
        self._since_s = connections.now_s
        connections.turned_away()
        if connections.lingering >= LINGERING_LIMIT:
            self._lingers = False
            transport.abort()
            return
        self._lingers = True
        connections.lingering += 1
        connections.add(self)
        transport.write(whole_error(Overloaded(), security_lines=connections.security_lines))
        if transport.can_write_eof():
            transport.write_eof()

    def check(self, now_s: float) -> None:
        if now_s - self._since_s > LINGER_S:
            self._transport.abort()

    def leave_if_idle(self, now_s: float) -> None:
        """It has an end of its own, ``LINGER_S`` after it came."""

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lingers:
            self._connections.lingering -= 1
            self._connections.discard(self)


def has_unread(transport: asyncio.BaseTransport) -> bool:
    """Whether the kernel holds bytes of this connection that the loop has not read yet."""
    try:
        unread = fcntl.ioctl(
            transport.get_extra_info("socket").fileno(), termios.FIONREAD, bytes(4)
        )
    except (OSError, ValueError, AttributeError):
        return False
    return bool(struct.unpack("i", unread)[0])


def is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def raise_file_limit(needed: int) -> str | None:
    """Lifts this process's soft limit of open files as far as needed and allowed.

    Returns:
        What is wrong, as a sentence for the log, when the hard limit is below ``needed``.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    reach = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (reach, hard))
    if reach >= needed:
        return None
    return f"a worker may need {needed} open files and the limit is {reach}"
