"""Names looked up in the DNS, by dnspython: imported only where a core is named and not addressed.

The name servers are those of ``/etc/resolv.conf``. The system's own resolver gives no TTL, knows no
SRV records and would take a thread for each question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.rdatatype
import dns.resolver
import structlog
from dns.rdtypes.IN.SRV import SRV

from gateway.http_client.discovery import LONGEST_S, LOOKUP_S, LookupFailed, Service

log = structlog.get_logger("gateway.discovery")


class DnsLookup:
    """Asks real name servers, without blocking the loop.

    Names are completed from ``/etc/resolv.conf``'s search list, as in a Kubernetes pod. The hosts
    file is not read.

    Args:
        nameservers, port: other ones than the system's.
    """

    def __init__(self, nameservers: Sequence[str] = (), port: int = 53) -> None:
        self._nameservers = nameservers
        self._port = port
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._backend = dns.asyncbackend.get_backend("asyncio")

    async def hosts(self, name: str) -> tuple[Sequence[str], float]:
        """One address family only: a core with both would be taken for two cores."""
        answer = await self._ask(name, dns.rdatatype.A)
        if answer.rrset is None:
            answer = await self._ask(name, dns.rdatatype.AAAA)
        if answer.rrset is None:
            raise LookupFailed("the name has no address")
        return [record.address for record in answer.rrset], _ttl_s(answer)

    async def services(self, name: str) -> tuple[Sequence[Service], float]:
        """A target with several addresses is several cores; one with none is left out."""
        answer = await self._ask(name, dns.rdatatype.SRV)
        records = [cast(SRV, record) for record in answer.rrset or ()]
        found = await asyncio.gather(*(self._targets(record) for record in records))
        services = [one for some, _ in found for one in some]
        if not services:
            raise LookupFailed("the name has no service with an address")
        return services, min(_ttl_s(answer), *(ttl_s for some, ttl_s in found if some))

    async def _targets(self, record: SRV) -> tuple[list[Service], float]:
        target = record.target.to_text()
        if target == ".":
            # The record's way to say that there is no such service (RFC 2782).
            return [], LONGEST_S
        try:
            hosts, ttl_s = await self.hosts(target)
        except LookupFailed as exc:
            log.warning("core name not resolved", name=target, kind="dns", reason=str(exc))
            return [], LONGEST_S
        return [Service(host, record.port, record.priority, record.weight) for host in hosts], ttl_s

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> dns.resolver.Answer:
        try:
            return await self._made().resolve(
                name,
                kind,
                search=True,
                raise_on_no_answer=False,
                lifetime=LOOKUP_S,
                backend=self._backend,
            )
        except (dns.exception.DNSException, OSError) as exc:
            raise LookupFailed(f"{type(exc).__name__}: {exc}") from exc

    def _made(self) -> dns.asyncresolver.Resolver:
        """Made late: a broken ``/etc/resolv.conf`` is a name that does not resolve, no more."""
        if self._resolver is None:
            self._resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                self._resolver.nameservers = list(self._nameservers)
                self._resolver.port = self._port
        return self._resolver


def _ttl_s(answer: dns.resolver.Answer) -> float:
    """The shortest on the way to the answer, aliases included."""
    return float(answer.chaining_result.minimum_ttl)
