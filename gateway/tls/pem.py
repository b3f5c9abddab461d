"""The certificate files of a peer as the bytes in them, for a TLS that is not Python's own."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from gateway.tls.certificates import CertificateError, TlsFiles, faults


@dataclass(frozen=True, slots=True, repr=False)
class Pem:
    """``ca`` are the authorities that are believed: those of the files, or the system's."""

    ca: bytes
    cert: bytes | None
    key: bytes | None


def read_pem(files: TlsFiles) -> Pem:
    """Raises ``CertificateError`` for files that cannot be used."""
    for which, expected in faults(files):
        raise CertificateError(f"{getattr(files, which)}: expected {expected}")
    try:
        ca = files.ca.read_bytes() if files.ca is not None else system_authorities()
        cert, key = (
            None if path is None else path.read_bytes() for path in (files.cert, files.key)
        )
    except OSError as problem:
        raise CertificateError(f"not readable ({problem.strerror})") from problem
    return Pem(ca, cert, key)


def system_authorities() -> bytes:
    """The certificates that OpenSSL believes on this machine: those of its file, or else of its
    directory, where each has a name that is its hash."""
    places = ssl.get_default_verify_paths()
    if places.cafile:
        return Path(places.cafile).read_bytes()
    found = sorted(Path(places.capath).glob("*.[0-9]")) if places.capath else []
    return b"\n".join(path.read_bytes() for path in found)
