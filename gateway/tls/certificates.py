"""Certificate files: what is wrong with them, the TLS contexts made of them, and their changes.

What flows which way: the settings name files (``TlsFiles``); ``faults`` and ``out_of_date`` judge
them for ``gateway check`` and the start; ``client_context`` and ``server_context`` make of them
what connections are made with. Whoever runs on them keeps a ``Followed``, which makes the thing
again when a file is another one: new connections then have the new, those that stand keep the old.
A file that became wrong changes nothing.
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
    """The files cannot be used; the text says which and why, and is fit to show."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: ``ca`` is trusted instead of the system's; ``cert`` (with its chain) is shown."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(path for path in (self.ca, self.cert, self.key) if path is not None)


def faults(files: TlsFiles) -> Iterator[tuple[Which, str]]:
    """Each file that cannot be used, with what was expected instead."""
    readable = True
    for which, path in zip(_CERTIFICATES, (files.ca, files.cert), strict=True):
        fault = _fault_of_certificates(path) if path is not None else None
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


def _fault_of_certificates(path: Path) -> str | None:
    fault = _unreadable(path)
    if fault is not None:
        return fault
    try:
        found = certificates(path)
    except ValueError:
        return "certificates that can be read, in PEM"
    return None if found else "a PEM file with at least one certificate"


def _fault_of_pair(cert: Path, key: Path) -> str | None:
    try:
        _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), cert, key)
    except CertificateError as problem:
        return str(problem)
    return None


def _load_pair(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    def ask_nobody() -> str:
        # OpenSSL would ask whoever sits at the terminal.
        raise CertificateError("a private key without a passphrase")

    try:
        context.load_cert_chain(cert, key, password=ask_nobody)
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError("the private key of the certificate") from problem
        raise CertificateError(f"a private key in PEM ({problem.reason})") from problem


def certificates(path: Path) -> list[Validity]:
    """When each certificate in a PEM file is good. Raises ``OSError``, ``ValueError``."""
    return [
        validity(ssl.PEM_cert_to_DER_cert(block.decode("ascii")))
        for block in _CERTIFICATE.findall(path.read_bytes())
    ]


def out_of_date(files: TlsFiles, now: float) -> Iterator[tuple[Which, str]]:
    """Each file of which no certificate that matters is good at ``now`` (seconds since 1970).

    Of a chain the first one matters, which is shown; of trusted ones any that is good is enough.
    """
    for which, path in zip(_CERTIFICATES, (files.ca, files.cert), strict=True):
        found = certificates(path) if path is not None else []
        told = [_when_good(one, now) for one in (found if which == "ca" else found[:1])]
        if told and all(told):
            yield which, f"a certificate that is good today ({told[0]})"


def _when_good(found: Validity, now: float) -> str | None:
    """``None`` when it is."""
    if now < found.not_before:
        return f"from {_day(found.not_before)}"
    return f"expired {_day(found.not_after)}" if now > found.not_after else None


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """For calls of ours: the peer must prove its name, by the given CA or by the system's.

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
    """Stands in where the files for a peer are wrong: every handshake with it fails."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def server_context(files: TlsFiles, *, client_certificate_required: bool = True) -> ssl.SSLContext:
    """For clients of ours: TLS 1.2 at least; with ``files.ca`` they show a certificate of that CA.

    A session that is resumed brings no certificate again, so that a CA which was taken away would
    go on being believed: with ``files.ca`` nothing is resumed, which only TLS 1.3 can promise.

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


class Followed(Generic[T]):
    """What was made of some files, made again when one of them changed.

    Args:
        paths: looked at with one ``stat`` each; links are followed, as a mounted Secret needs.
        make: raises ``CertificateError`` (or ``OSError``) for files that cannot be used.
        stand_in: gives what there is meanwhile where they are wrong from the beginning.

    Raises:
        CertificateError: they are, and nothing stands in.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        make: Callable[[], T],
        stand_in: Callable[[CertificateError], T] | None = None,
    ) -> None:
        self._paths = tuple(paths)
        self._make = make
        self._stamps = self._look()
        try:
            self.present = make()
        except CertificateError as problem:
            if stand_in is None:
                raise
            self.present = stand_in(problem)

    def reload_if_changed(self) -> bool:
        """Whether there is a new one; the next call is silent until a file changes again.

        Raises:
            CertificateError: what there was stays.
        """
        stamps = self._look()
        if stamps == self._stamps:
            return False
        # Taken before reading: a write in between makes the next look see a difference.
        self._stamps = stamps
        try:
            self.present = self._make()
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
