"""A name server on loopback, UDP and TCP, that answers what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """``records``: (name, type) → (TTL, record texts); anything else is NXDOMAIN.

    Attributes:
        rcode: answered to everything, instead of the records.
        truncates: whether UDP says no more than "ask by TCP".
        asked: (name, type, "udp" or "tcp") of every question.
    """

    def __init__(self) -> None:
        self.port = 0
        self.records: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self.rcode: dns.rcode.Rcode | None = None
        self.truncates = False
        self.silent = False
        self.asked: list[tuple[str, str, str]] = []

    def answer(self, question: bytes, by: str) -> bytes | None:
        query = dns.message.from_wire(question)
        name = query.question[0].name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append((name, kind, by))
        if self.silent:
            return None
        response = dns.message.make_response(query)
        if self.rcode is not None:
            response.set_rcode(self.rcode)
        elif self.truncates and by == "udp":
            response.flags |= dns.flags.TC
        else:
            self._fill(response, name, kind)
        return response.to_wire()

    def _fill(self, response: dns.message.Message, name: str, kind: str) -> None:
        known = {name for name, _ in self.records}
        if name not in known:
            response.set_rcode(dns.rcode.NXDOMAIN)
            return
        while (alias := self.records.get((name, "CNAME"))) is not None:
            _append(response, name, "CNAME", alias)
            name = alias[1][0].rstrip(".")
        if (name, kind) in self.records:
            _append(response, name, kind, self.records[name, kind])


def _append(
    response: dns.message.Message, name: str, kind: str, record: tuple[int, list[str]]
) -> None:
    response.answer.append(dns.rrset.from_text(name + ".", record[0], "IN", kind, *record[1]))


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data, "udp")
        if answer is not None and self._transport is not None:
            self._transport.sendto(answer, addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    state = NameServer()

    async def by_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        answer = state.answer(await reader.readexactly(length), "tcp") or b""
        writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()

    server = await asyncio.start_server(by_tcp, "127.0.0.1", 0)
    state.port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(
        lambda: _Udp(state), local_addr=("127.0.0.1", state.port)
    )
    try:
        yield state
    finally:
        udp.close()
        server.close()
