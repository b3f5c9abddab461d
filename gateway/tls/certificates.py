"""Certificate files: their faults, the TLS contexts made of them, and reloading them.

The settings name files (``TlsFiles``). ``faults`` and ``out_of_date`` check them for
``gateway check`` and at the start. ``client_context`` and ``server_context`` make TLS contexts of
them. ``WatchedFiles`` makes its object again when a file has changed: new connections then use
the new one, open connections keep the old one. A file that became wrong changes nothing.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, Literal, TypeVar

from gateway.tls.x509 import Validity, validity

Which = Literal["ca", "cert", "key"]
_CERTIFICATES: tuple[Which, Which] = ("ca", "cert")
T = TypeVar("T")

# TLS 1.2 with forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
ALPN = ("http/1.1",)

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_Stamp = tuple[int, int, int]


class CertificateError(Exception):
    """The files cannot be used; the text names the file and the reason, and has no secrets."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: ``ca`` replaces the system's CAs; ``cert`` (with its chain) is our own."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.ca, self.cert, self.key) if path is not None)


def faults(files: TlsFiles) -> Iterator[tuple[Which, str]]:
    """Each file that cannot be used, and what was expected instead."""
    readable = True
    for which, path in zip(_CERTIFICATES, (files.ca, files.cert), strict=True):
        fault = _fault_of_certificates(which, path) if path is not None else None
        if fault is not None:
            readable &= which == "ca"
            yield which, fault
    if files.key is not None:
        fault = _unreadable(files.key)
        if fault is None and readable and files.cert is not None:
            fault = _fault_of_pair(files.cert, files.key)
        if fault is not None:
            yield "key", fault


def _unreadable(path: Path) -> str | None:
    try:
        path.read_bytes()
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or "not a path"
        return f"the path of a readable file ({reason})"
    return None


def _fault_of_certificates(which: Which, path: Path) -> str | None:
    fault = _unreadable(path)
    if fault is not None:
        return fault
    try:
        found = certificates(path)
    except ValueError:
        return "certificates that can be read, in PEM"
    if not found:
        return "a PEM file with at least one certificate"
    return _fault_of_authorities(path) if which == "ca" else None


def _fault_of_authorities(path: Path) -> str | None:
    """OpenSSL reads such a file to its end, so that half a certificate spoils those before it."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "certificates that can be read, in PEM"
    return None


def _fault_of_pair(cert: Path, key: Path) -> str | None:
    try:
        _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert, key)
    except CertificateError as problem:
        return str(problem)
    return None


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    def ask_nobody() -> str:
        # Without this OpenSSL would ask on the terminal.
        raise CertificateError("a private key without a passphrase")

    try:
        context.load_cert_chain(cert, key, password=ask_nobody)
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError("the private key of the certificate") from problem
        raise CertificateError(f"a private key in PEM ({problem.reason})") from problem


def certificates(path: Path) -> list[Validity]:
    """The validity of each certificate in a PEM file. Raises ``OSError``, ``ValueError``."""
    return [
        validity(ssl.PEM_cert_to_DER_cert(block.decode("ascii")))
        for block in _CERTIFICATE.findall(path.read_bytes())
    ]


def out_of_date(files: TlsFiles, now: float) -> Iterator[tuple[Which, str]]:
    """Each file that has no valid certificate at ``now`` (seconds since 1970).

    In a chain only the first certificate is checked, which is our own; of CA certificates one that
    is valid is enough.
    """
    for which, path in zip(_CERTIFICATES, (files.ca, files.cert), strict=True):
        found = certificates(path) if path is not None else []
        reasons = [_not_valid(one, now) for one in (found if which == "ca" else found[:1])]
        if reasons and all(reasons):
            yield which, f"a certificate that is valid today ({reasons[0]})"


def _not_valid(found: Validity, now: float) -> str | None:
    """Why the certificate is not valid; ``None`` when it is."""
    if now < found.not_before:
        return f"from {_day(found.not_before)}"
    return f"expired {_day(found.not_after)}" if now > found.not_after else None


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For calls we make: the peer must prove its name with a certificate of the given CA, or of one
    that the system trusts.

    Raises:
        CertificateError: a file is wrong.
    """
    _refuse(files)
    context = ssl.create_default_context(cafile=files.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(ALPN)
    if files.cert is not None and files.key is not None:
        _load_pair(context, files.cert, files.key)
    return context


def trusting_nobody() -> ssl.SSLContext:
    """A context for a peer whose files are wrong: every handshake with it fails."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def server_context(files: TlsFiles, *, client_certificate_required: bool = True) -> ssl.SSLContext:
    """For our listeners: TLS 1.2 at least; with ``files.ca`` clients need a certificate of that CA.

    A resumed session sends no certificate again, so a client would still be accepted after its CA
    was removed. With ``files.ca`` therefore no session is resumed, which only TLS 1.3 can ensure.

    Raises:
        CertificateError: a file is wrong.
    """
    _refuse(files)
    assert files.cert is not None
    assert files.key is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(ALPN)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # All of them are good: the client knows which is cheapest on its processor.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_pair(context, files.cert, files.key)
    if files.ca is not None:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.load_verify_locations(files.ca)
        required = client_certificate_required
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def _refuse(files: TlsFiles) -> None:
    names = {"ca": files.ca, "cert": files.cert, "key": files.key}
    found = [f"{names[which]}: expected {expected}" for which, expected in faults(files)]
    if found:
        raise CertificateError("; ".join(found))


class WatchedFiles(Generic[T]):
    """An object made of some files, and made again when one of them has changed.

    Args:
        paths: checked with one ``stat`` each; links are followed, as a mounted Secret needs.
        make: raises ``CertificateError`` (or ``OSError``) for files that cannot be used.
        fallback: makes the object to use if the files are wrong from the beginning.

    Raises:
        CertificateError: they are, and there is no ``fallback``.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        make: Callable[[], T],
        fallback: Callable[[CertificateError], T] | None = None,
    ) -> None:
        self._paths = tuple(paths)
        self._make = make
        self._stamps = self._look()
        try:
            self.current = make()
        except CertificateError as problem:
            if fallback is None:
                raise
            self.current = fallback(problem)

    def reload_if_changed(self) -> bool:
        """Whether the object was made again. Until a file changes the next calls return false.

        Raises:
            CertificateError: the files are wrong; the old object stays.
        """
        stamps = self._look()
        if stamps == self._stamps:
            return False
        # Remembered before reading: a write during the reading is then seen by the next call.
        self._stamps = stamps
        try:
            self.current = self._make()
        except OSError as problem:
            raise CertificateError(f"not readable ({problem.strerror})") from problem
        return True

    def _look(self) -> tuple[_Stamp | None, ...]:
        return tuple(_stamp(path) for path in self._paths)


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
