"""Real certificates for tests: authorities, what they sign, and the ways that goes wrong."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.tls.certificates import TlsFiles

HOUR = datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


class Authority:
    """A CA of its own in a folder: ``ca`` is its certificate's path."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        own = _builder(self._name, self._name, self._key, -HOUR, HOUR)
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = own.add_extension(constraint, critical=True).sign(
            self._key, hashes.SHA256()
        )
        self.ca = folder / f"{name}.crt"
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        name: str = "peer",
        host: str = "127.0.0.1",
        *,
        start: datetime.timedelta = -HOUR,
        end: datetime.timedelta = HOUR,
        passphrase: bytes | None = None,
    ) -> Pair:
        """Signs a certificate for ``host``; a second one of the same ``name`` replaces the first.

        ``start`` and ``end`` count from now. The files are replaced as a mounted Secret is: whole.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key, start, end)
        names = x509.SubjectAlternativeName([_general_name(host)])
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        # Whoever looks in between sees two that are no pair: it is as short as it can be.
        new_cert = _beside(pair.cert, certificate.public_bytes(serialization.Encoding.PEM))
        new_key = _beside(pair.key, _private_bytes(key, passphrase))
        os.replace(new_cert, pair.cert)
        os.replace(new_key, pair.key)
        return pair

    def files(self, pair: Pair | None = None) -> TlsFiles:
        """Trust this authority and show ``pair``."""
        if pair is None:
            return TlsFiles(self.ca)
        return TlsFiles(self.ca, pair.cert, pair.key)


def expired(authority: Authority, name: str = "expired", host: str = "127.0.0.1") -> Pair:
    return authority.issue(name, host, start=-2 * HOUR, end=-HOUR)


def asking_server(pair: Pair, authority: Authority | None = None) -> ssl.SSLContext:
    """A peer's own context: it shows ``pair`` and asks for a certificate of ``authority``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    if authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca)
    return context


def client(authority: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    """A client's own context, which trusts ``authority`` alone."""
    context = ssl.create_default_context(cafile=authority.ca)
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    start: datetime.timedelta,
    end: datetime.timedelta,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    number = x509.random_serial_number()
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), number)
    return builder.not_valid_before(now + start).not_valid_after(now + end)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private_bytes(key: ec.EllipticCurvePrivateKey, passphrase: bytes | None) -> bytes:
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        how = serialization.BestAvailableEncryption(passphrase)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, pkcs8, how)


def _beside(path: Path, content: bytes) -> Path:
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content)
    return beside
