"""Connecting to an address that a look-up gave, under the name that was looked up."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from gateway.http_client.pool import Origin
from gateway.http_client.transport import CoreTransport

from .scripted import OK, answering, ask, serve
from .test_tls import self_signed, server_context


def address_of(url: str) -> tuple[str, int]:
    parsed = httpx.URL(url)
    assert parsed.port is not None
    return parsed.host, parsed.port


@pytest.mark.parametrize(
    ("url", "address", "origin"),
    [
        ("http://core", None, ("http", "core", 80, "core")),
        ("https://core", None, ("https", "core", 443, "core")),
        ("http://[::1]:8100", None, ("http", "::1", 8100, "::1")),
        ("https://core:8100", ("fd00::1", 8443), ("https", "fd00::1", 8443, "core")),
    ],
)
def test_where_a_request_goes_and_under_which_name(
    url: str, address: tuple[str, int] | None, origin: tuple[str, str, int, str]
) -> None:
    """The address decides the connection, the URL the name."""
    assert Origin.of(httpx.URL(url), address) == origin


async def test_a_request_goes_to_its_address_and_names_its_host() -> None:
    """``core.test`` resolves nowhere: nothing but the address was used."""
    async with serve(answering(OK)) as server, aclosing(CoreTransport()) as transport:
        for _ in range(2):
            body = await ask(transport, "http://core.test:8100/x", address_of(server.url))
            assert await body.whole(2) == b"ok"
        assert server.connections == 1
        assert b"\r\nhost: core.test:8100\r\n" in server.requests[0].replace(b"Host", b"host")


async def test_connections_of_one_address_are_not_shared_between_names() -> None:
    """What was proved for one name was not proved for another."""
    async with serve(answering(OK)) as server, aclosing(CoreTransport()) as transport:
        for name in ("a.test", "b.test", "a.test"):
            body = await ask(transport, f"http://{name}", address_of(server.url))
            assert await body.whole(2) == b"ok"
        assert server.connections == 2


async def test_an_ipv6_address_is_connected_to() -> None:
    """Addresses come without brackets."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        writer.close()

    try:
        server = await asyncio.start_server(connected, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = server.sockets[0].getsockname()[1]
    async with aclosing(CoreTransport()) as transport:
        body = await ask(transport, "http://core.test", ("::1", port))
        assert await body.whole(2) == b"ok"
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(("name", "trusted"), [("localhost", True), ("other.test", False)])
async def test_a_certificate_must_be_the_names_and_not_the_addresss(
    tmp_path: Path, name: str, trusted: bool
) -> None:
    """The name goes out as the server name (SNI), and the certificate is compared with it."""
    pem = self_signed(tmp_path, "localhost", x509.DNSName("localhost"))
    asked: list[str | None] = []
    context = server_context(pem)
    context.sni_callback = lambda socket, server_name, _: asked.append(server_name)
    transport = CoreTransport(tls=lambda: ssl.create_default_context(cafile=str(pem)))
    async with serve(answering(OK), context) as server, aclosing(transport):
        asking = ask(transport, f"https://{name}", address_of(server.url))
        if trusted:
            assert await (await asking).whole(2) == b"ok"
        else:
            with pytest.raises(httpx.ConnectError):
                await asking
            assert server.requests == []
        assert asked == [name]
