"""The TLS settings: for clients, the core, OPA, the object storage and Temporal.

Those for Redis and for the company's provider stand with their other settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.settings import parsers as p
from gateway.settings.faults import Fault
from gateway.settings.spec import group
from gateway.tls.certificates import TlsFiles, faults, out_of_date

YEAR_S = 365 * 24 * 3600
_TLS = re.compile(r"(?:https|grpcs)://")

_tls = group("TLS")


def ca_setting(peer: str) -> Any:
    doc = f"CA certificates that {peer}'s certificate must come from (PEM). Unset: the system's."
    return _tls(p.PATH, None, doc, example="/etc/gateway/tls/ca.crt")


def cert_setting(peer: str) -> Any:
    doc = f"The gateway's certificate for {peer}, with its chain (PEM). Unset: none is sent."
    return _tls(p.PATH, None, doc, example="/etc/gateway/tls/tls.crt")


def key_setting(peer: str) -> Any:
    doc = f"Private key of the certificate for {peer} (PEM, without a passphrase)."
    return _tls(p.PATH, None, doc, example="/etc/gateway/tls/tls.key")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TlsSettings:
    """Part of ``Settings``. New connections use the newest version of every file."""

    tls_cert_file: Path | None = _tls(
        p.PATH,
        None,
        "Certificate of the public listener, with its chain (PEM). Unset: it serves plain HTTP.",
        example="/etc/gateway/tls/tls.crt",
    )
    tls_key_file: Path | None = _tls(
        p.PATH,
        None,
        "Private key of that certificate (PEM, without a passphrase).",
        example="/etc/gateway/tls/tls.key",
    )
    tls_client_ca_file: Path | None = _tls(
        p.PATH,
        None,
        "CA certificates that a client's certificate must come from (PEM). Unset: clients need no"
        " certificate. Set: TLS 1.3 only, as TLS 1.2 could resume a session after its CA was"
        " removed.",
        example="/etc/gateway/tls/clients.crt",
    )
    tls_client_certificates: str = _tls(
        p.choice("required", "optional"),
        "required",
        "Whether a client without a certificate is refused; one with a wrong one always is.",
    )
    hsts_max_age: float | None = _tls(
        p.duration("0s", "730d"),
        None,
        "How long browsers must use HTTPS (`Strict-Transport-Security`); 0 sends no such header."
        " Unset: a year if the gateway serves HTTPS itself, else no header. Set it if TLS ends in"
        " front of the gateway.",
        example="365d",
    )
    core_ca_file: Path | None = ca_setting("the core")
    core_cert_file: Path | None = cert_setting("the core")
    core_key_file: Path | None = key_setting("the core")
    opa_ca_file: Path | None = ca_setting("OPA")
    opa_cert_file: Path | None = cert_setting("OPA")
    opa_key_file: Path | None = key_setting("OPA")
    s3_ca_file: Path | None = ca_setting("the object storage")
    s3_cert_file: Path | None = cert_setting("the object storage")
    s3_key_file: Path | None = key_setting("the object storage")
    temporal_tls: bool = _tls(p.BOOLEAN, "false", "Whether the connection to Temporal uses TLS.")
    temporal_ca_file: Path | None = ca_setting("Temporal")
    temporal_cert_file: Path | None = cert_setting("Temporal")
    temporal_key_file: Path | None = key_setting("Temporal")

    def tls_files(self, peer: str) -> TlsFiles:
        """``peer`` is ``tls`` (clients), or one of those in ``FILES`` that the gateway calls."""
        return TlsFiles(*(getattr(self, name) for name in FILES[peer]))

    @property
    def hsts_s(self) -> int:
        """Seconds of ``Strict-Transport-Security``; 0 for no such header."""
        if self.hsts_max_age is None:
            return YEAR_S if self.tls_cert_file is not None else 0
        return int(self.hsts_max_age)


# Peer → the attributes of its CA, its certificate and its key.
FILES: Mapping[str, tuple[str, str, str]] = {
    "tls": ("tls_client_ca_file", "tls_cert_file", "tls_key_file"),
    **{
        peer: (f"{peer}_ca_file", f"{peer}_cert_file", f"{peer}_key_file")
        for peer in ("core", "opa", "s3", "temporal", "redis", "oidc")
    },
}
_OF = ("ca", "cert", "key")

Values = Mapping[str, Any]


def env_of(peer: str, which: str) -> str:
    return f"GATEWAY_{FILES[peer][_OF.index(which)].upper()}"


def certificate_faults(values: Values) -> Iterator[Fault]:
    """Faults of the files themselves, and of files that are missing or unused; reads them."""
    for peer, attributes in FILES.items():
        if not values.keys() >= set(attributes):
            continue
        files = TlsFiles(*(values[attribute] for attribute in attributes))
        yield from _go_together(peer, files)
        yield from _are_used(peer, files, values)
        for which, expected in faults(files):
            path = str({"ca": files.ca, "cert": files.cert, "key": files.key}[which])
            yield Fault(env_of(peer, which), path, expected)


def out_of_date_faults(values: Values, now: float) -> Iterator[Fault]:
    """Certificates that are not valid at ``now`` (seconds since 1970), in files that can be used.

    They do not stop a start: the rest of the gateway still works.
    """
    for peer, attributes in FILES.items():
        files = TlsFiles(*(values.get(attribute) for attribute in attributes))
        if any(True for _ in faults(files)):
            continue
        for which, expected in out_of_date(files, now):
            path = str(files.ca if which == "ca" else files.cert)
            yield Fault(env_of(peer, which), path, expected)


def _go_together(peer: str, files: TlsFiles) -> Iterator[Fault]:
    cert, key = env_of(peer, "cert"), env_of(peer, "key")
    if files.cert is None and files.key is not None:
        yield Fault(cert, None, f"to be set together with {key}, or neither")
    if files.key is None and files.cert is not None:
        yield Fault(key, None, f"to be set together with {cert}, or neither")
    if peer == "tls" and files.ca is not None and files.cert is None:
        yield Fault(cert, None, f"to be set, as {env_of(peer, 'ca')} is")


def _are_used(peer: str, files: TlsFiles, values: Values) -> Iterator[Fault]:
    """TLS files for a peer that is called without TLS: the operator expects that it is used.

    For Redis, whose address is a secret, its own settings say so.
    """
    given = [which for which in _OF if getattr(files, which) is not None]
    if not given or peer in ("tls", "redis"):
        return
    if peer == "temporal":
        if values.get("temporal_tls") is False:
            expected = f"true, as {env_of(peer, given[0])} is set"
            yield Fault("GATEWAY_TEMPORAL_TLS", "false", expected)
        return
    addresses = _addresses(peer, values)
    if addresses is not None and not any(_TLS.search(address) for address in addresses):
        name = f"GATEWAY_{_address_of(peer).upper()}"
        schemes = "an https:// or grpcs://" if peer == "core" else "an https://"
        expected = f"{schemes} address, as {env_of(peer, given[0])} is set"
        yield Fault(name, ",".join(addresses) or None, expected)


def _addresses(peer: str, values: Values) -> tuple[str, ...] | None:
    """``None`` if unknown. AWS, which needs no address, counts as ``https://``."""
    name = _address_of(peer)
    if name not in values:
        return None
    address = values[name]
    if address is None:
        return ("https://",) if peer == "s3" else ()
    return address if isinstance(address, tuple) else (address,)


def _address_of(peer: str) -> str:
    """The setting that says where it is."""
    return {"s3": "s3_endpoint", "oidc": "oidc_issuer"}.get(peer, f"services_{peer}")
