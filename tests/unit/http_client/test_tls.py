"""TLS to the core: its certificate is checked, and ours is shown where it asks for one."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.http_client.client import make_client
from gateway.http_client.transport import CoreTransport

from .scripted import OK, answering, serve


def self_signed(folder: Path, address: str, name_in_it: x509.GeneralName | None = None) -> Path:
    """A PEM file with a key and a certificate for this address (or name), good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
    now = datetime.datetime.now(datetime.UTC)
    hour = datetime.timedelta(hours=1)
    subject = name_in_it or x509.IPAddress(ipaddress.ip_address(address))
    names = x509.SubjectAlternativeName([subject])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - hour)
        .not_valid_after(now + hour)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{address}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def server_context(pem: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    return context


async def test_a_core_whose_certificate_is_trusted_is_spoken_to(tmp_path: Path) -> None:
    """Keep-alive included."""
    pem = self_signed(tmp_path, "127.0.0.1")
    trusting = ssl.create_default_context(cafile=str(pem))
    transport = CoreTransport(tls=lambda: trusting)
    async with (
        serve(answering(OK), server_context(pem)) as server,
        make_client(transport) as client,
    ):
        for _ in range(2):
            assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "10.9.8.7"])
async def test_a_certificate_that_does_not_stand_is_a_connect_error(
    tmp_path: Path, address: str
) -> None:
    """Signed by nobody we know, or made for another address: nothing is sent."""
    pem = self_signed(tmp_path, address)
    trusted = str(pem) if address != "127.0.0.1" else None
    transport = CoreTransport(tls=lambda: ssl.create_default_context(cafile=trusted))
    async with (
        serve(answering(OK), server_context(pem)) as server,
        make_client(transport) as client,
    ):
        with pytest.raises(httpx.ConnectError):
            await client.get(server.url)
        assert server.requests == []
        assert transport.slots.in_use == 0


async def test_a_core_that_asks_for_our_certificate_gets_it(tmp_path: Path) -> None:
    """Mutual TLS: without ours there is no answer."""
    theirs, ours = self_signed(tmp_path, "127.0.0.1"), self_signed(tmp_path, "127.0.0.2")
    asking = server_context(theirs)
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_verify_locations(ours)
    showing = ssl.create_default_context(cafile=str(theirs))
    showing.load_cert_chain(ours)
    async with serve(answering(OK), asking) as server:
        async with make_client(CoreTransport(tls=lambda: showing)) as client:
            assert (await client.get(server.url)).content == b"ok"
        async with make_client(
            CoreTransport(tls=lambda: ssl.create_default_context(cafile=str(theirs)))
        ) as client:
            with pytest.raises(httpx.TransportError):
                await client.get(server.url)
