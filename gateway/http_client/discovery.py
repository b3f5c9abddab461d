"""Where cores are: fixed URLs as they stand, names looked up in the DNS again and again.

What flows which way: ``Source`` reads one item of ``GATEWAY_SERVICES_CORE``. ``Discovery`` keeps
one task for each name, which asks a ``Lookup``, gives its listener all addresses together
whenever they changed, and sleeps for the answer's TTL. ``dns_lookup.DnsLookup`` asks real servers.

A name that cannot be looked up keeps the addresses it had: a DNS that is down must not take cores
away that are up.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

import structlog

from gateway.domain.balancing import Address

log = structlog.get_logger("gateway.discovery")

# A TTL of 0 must not become a storm of questions, nor a long one leave an address out of date.
SHORTEST_S = 1.0
LONGEST_S = 30.0
LOOKUP_S = 5.0


@dataclass(frozen=True, slots=True)
class Source:
    """One item of the setting.

    Attributes:
        kind: ``url``: the address itself; ``dns``: every A record (or AAAA, where there is no A) of
            the name is a core; ``srv``: every SRV record is one, with its port.
        base_url: what calls are made to. An SRV name loses its ``_service._proto.`` labels there:
            they belong to the question, not to the host (RFC 6125, 6.5).
        name: what is looked up. ``port`` is unused for ``srv``.
    """

    kind: Literal["url", "dns", "srv"]
    base_url: str
    name: str
    port: int

    @classmethod
    def of(cls, text: str) -> Source:
        """Reads ``http://…``, ``dns+http://…``, ``srv+http://…`` (or https) as settings give it."""
        looked_up = text.startswith(("dns+", "srv+"))
        base_url = (text[4:] if looked_up else text).rstrip("/")
        parts = urlsplit(base_url)
        name = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        if text.startswith("srv+"):
            host = ".".join(label for label in name.split(".") if not label.startswith("_"))
            return cls("srv", f"{parts.scheme}://{host}{parts.path}", name, port)
        return cls("dns" if looked_up and not _is_literal(name) else "url", base_url, name, port)


class Service(NamedTuple):
    """One SRV record with its target's address (RFC 2782)."""

    host: str
    port: int
    priority: int
    weight: int


class LookupFailed(Exception):
    """No usable answer; the text says why, for the log."""


class NoLookup:
    """For cores that are all given by address: there is nothing to look up."""

    async def hosts(self, name: str) -> tuple[Sequence[str], float]:
        raise LookupFailed(f"no name server to ask for {name}")

    async def services(self, name: str) -> tuple[Sequence[Service], float]:
        raise LookupFailed(f"no name server to ask for {name}")


class Lookup(Protocol):
    """Questions to the DNS; each gives the answers and the seconds they are good for."""

    async def hosts(self, name: str) -> tuple[Sequence[str], float]:
        """IP addresses, at least one. Raises ``LookupFailed``."""

    async def services(self, name: str) -> tuple[Sequence[Service], float]:
        """At least one. Raises ``LookupFailed``."""


class Discovery:
    """Gives a listener all addresses whenever they change; belongs to one event loop.

    Args:
        urls: the items of the setting.
        lookup: asked for the names among them.
        listener: called with all addresses, at the start and at every change.
        sleep: ``asyncio.sleep``; tests bring their own.
    """

    def __init__(
        self,
        urls: Iterable[str],
        lookup: Lookup,
        listener: Callable[[Sequence[Address]], None],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sources = [Source.of(url) for url in urls]
        self._lookup = lookup
        self._listener = listener
        self._sleep = sleep
        self._found: dict[Source, tuple[Address, ...]] = {
            source: (Address(source.base_url),) if source.kind == "url" else ()
            for source in self._sources
        }
        self._unasked = {source for source in self._sources if source.kind != "url"}
        self._all_asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, within_s: float = 1.0) -> None:
        """Returns when every name was asked for once, well or not, at the latest after this time.

        The gateway starts without its cores as it runs without them: calls then fail truly.
        """
        self._call_listener()
        self._tasks = [
            asyncio.create_task(self._watch(source), name=f"discovery {source.name}")
            for source in self._unasked
        ]
        if self._tasks:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._all_asked.wait()

    async def aclose(self) -> None:
        """Ends every look-up; no address changes any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _watch(self, source: Source) -> None:
        failures = 0
        while True:
            try:
                found, ttl_s = await self._ask(source)
            except Exception as exc:
                # Any exception: whatever went wrong, this name must go on being looked up.
                failures += 1
                wait_s = min(SHORTEST_S * 2 ** min(failures - 1, 8), LONGEST_S)
                self._log_failure(source, exc, wait_s)
            else:
                failures = 0
                wait_s = min(max(ttl_s, SHORTEST_S), LONGEST_S)
                self._take_over(source, found)
            self._unasked.discard(source)
            if not self._unasked:
                self._all_asked.set()
            await self._sleep(wait_s)

    async def _ask(self, source: Source) -> tuple[tuple[Address, ...], float]:
        if source.kind == "srv":
            services, ttl_s = await self._lookup.services(source.name)
            return tuple(_address(source, one) for one in services), ttl_s
        hosts, ttl_s = await self._lookup.hosts(source.name)
        return tuple(Address(source.base_url, (host, source.port)) for host in hosts), ttl_s

    def _log_failure(self, source: Source, exc: Exception, wait_s: float) -> None:
        known = isinstance(exc, LookupFailed)
        log.warning(
            "core name not resolved",
            name=source.name,
            kind=source.kind,
            reason=str(exc) if known else repr(exc),
            addresses_kept=len(self._found[source]),
            next_try_s=wait_s,
        )

    def _take_over(self, source: Source, found: tuple[Address, ...]) -> None:
        # Name servers turn the order of their answers: that is no change.
        ordered = tuple(sorted(found, key=_everything))
        if [*map(_everything, ordered)] == [*map(_everything, self._found[source])]:
            return
        self._found[source] = ordered
        log.info("core addresses", name=source.name, addresses=[str(one) for one in ordered])
        self._call_listener()

    def _call_listener(self) -> None:
        self._listener([address for found in self._found.values() for address in found])


def _address(source: Source, service: Service) -> Address:
    return Address(
        source.base_url,
        (service.host, service.port),
        priority=service.priority,
        # A weight of 0 is "hardly ever" beside others, and no number to divide by.
        weight=max(service.weight, 1),
    )


def _everything(address: Address) -> tuple[tuple[str, int], int, int]:
    assert address.connect_to is not None
    return address.connect_to, address.priority, address.weight


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
