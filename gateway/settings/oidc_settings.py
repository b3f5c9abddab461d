"""The settings of the company's sign-in: whose tokens are believed, and what their claims mean."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from gateway.domain.hosts import is_loopback
from gateway.domain.identity import is_name, is_role
from gateway.settings import parsers as p
from gateway.settings.faults import Fault
from gateway.settings.grpc_settings import GrpcSettings
from gateway.settings.spec import group
from gateway.settings.tls_settings import ca_setting, cert_setting, key_setting

_oidc = group("Company sign-in")

_CLAIM = re.compile(r"[\x21-\x7e]{1,200}\Z")
ANY_CLIENT = "*"


def _no(text: str) -> Any:
    raise ValueError(text)


def _parse_issuer(text: str) -> str:
    """As it is written: a provider's name is compared to the last character."""
    p.URL.parse(text)
    parts = urlsplit(text)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        _no(text)
    return text


def _parse_claim(text: str) -> str:
    return text if _CLAIM.match(text) else _no(text)


def _parse_tenant_line(text: str) -> tuple[str, str]:
    value, _, tenant = text.rpartition(" ")
    return (value.strip(), tenant) if value.strip() and is_name(tenant) else _no(text)


def _parse_roles_line(text: str) -> tuple[str, tuple[str, ...]]:
    value, _, listed = re.sub(r" *, *", ",", text).rpartition(" ")
    roles = tuple(listed.split(","))
    return (value.strip(), roles) if value.strip() and all(map(is_role, roles)) else _no(text)


def _table_of(line: p.Parser) -> p.Parser:
    """Lines parted by ``;``, each a value of a claim and what it stands for."""

    def parse(text: str) -> tuple[Any, ...]:
        lines = [part.strip() for part in text.split(";") if part.strip()]
        pairs, faults = [], []
        for one in lines:
            try:
                pairs.append(line.parse(one))
            except ValueError:
                faults.append((one, line.expected))
        if faults:
            raise p.SeveralFaults(faults)
        if not pairs or len(dict(pairs)) != len(pairs):
            _no(text)
        return tuple(pairs)

    return p.Parser(f"a list, parted by ';', of {line.expected}, each value once", parse)


ISSUER = p.Parser(
    "the https:// address by which the provider names itself, such as"
    " https://sso.example.com/realms/acme; http:// on this machine alone",
    _parse_issuer,
)
CLAIM = p.Parser("a claim's name, or a path such as realm_access.roles", _parse_claim)
TENANTS = _table_of(p.Parser("a value of the claim, a blank, a tenant", _parse_tenant_line))
ROLES = _table_of(
    p.Parser("a value of the claim, a blank, roles such as reader,editor", _parse_roles_line)
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OidcSettings(GrpcSettings):
    """Part of ``Settings``: tokens of an OpenID Connect provider, beside the gateway's own."""

    oidc_issuer: str | None = _oidc(
        ISSUER,
        None,
        "The OpenID Connect provider whose tokens are accepted beside the gateway's own, spelled"
        " just as its tokens have it in `iss`; needs the extra `[oidc]`, `GATEWAY_PUBLIC_URL` and"
        " the settings below. Unset: only the gateway's own tokens are.",
        example="https://sso.example.com/realms/acme",
    )
    oidc_audience: str | None = _oidc(
        p.TEXT,
        None,
        "What such a token must have in `aud`: the gateway's name at the provider.",
        example="knowledge-base",
    )
    oidc_clients: tuple[str, ...] = _oidc(
        p.list_of(p.TOKEN, "clients' ids"),
        "",
        "The provider's clients that may bring a token, by its `azp` and `client_id`; `*` for any."
        " Empty: the audience itself alone.",
        example="kb-console,kb-cli",
    )
    oidc_tenant: str | None = _oidc(
        p.NAME,
        None,
        "The tenant of all these people. This or `GATEWAY_OIDC_TENANT_CLAIM` is needed.",
    )
    oidc_tenant_claim: str | None = _oidc(
        CLAIM,
        None,
        "The claim that says the tenant; a token without it is refused.",
        example="organization",
    )
    oidc_tenants: tuple[tuple[str, str], ...] = _oidc(
        TENANTS,
        "",
        "Which tenant a value of that claim stands for; other values are refused. Empty: the value"
        " is the tenant's name. In a file also a table.",
        table=True,
        example="Acme Ltd acme; Other Inc other",
    )
    oidc_roles_claim: str = _oidc(
        CLAIM, "roles", "The claim with the values that stand for roles: a list, or one text."
    )
    oidc_roles: tuple[tuple[str, tuple[str, ...]], ...] = _oidc(
        ROLES,
        "",
        "Which roles a value of that claim stands for; a person with no such value has no role. In"
        " a file also a table.",
        table=True,
        example="kb-readers reader; kb-editors editor; kb-admins admin",
    )
    oidc_name_claim: str = _oidc(
        CLAIM, "preferred_username", "The claim with the name that a person is shown as."
    )
    oidc_keys_sleep_after: float = _oidc(
        p.duration("1h", "3650d"),
        "30d",
        "How long after somebody's last sign-in his API keys work, with the roles he had then; they"
        " work again when he signs in.",
    )
    oidc_ca_file: Path | None = ca_setting("the provider")
    oidc_cert_file: Path | None = cert_setting("the provider")
    oidc_key_file: Path | None = key_setting("the provider")

    @property
    def oidc_client_ids(self) -> frozenset[str] | None:
        """The clients that may bring a token; ``None``: any."""
        if ANY_CLIENT in self.oidc_clients:
            return None
        return frozenset(self.oidc_clients or (self.oidc_audience or "",))


# What means something only with a provider, and is unset by default.
_NEEDS_AN_ISSUER = (
    *("oidc_audience", "oidc_clients", "oidc_tenant", "oidc_tenant_claim", "oidc_tenants"),
    "oidc_roles",
)
_NEEDED: Mapping[str, str] = MappingProxyType(
    {
        "oidc_audience": "else tokens for any other service would be accepted",
        "oidc_roles": "else nobody would have a role",
        "public_url": "clients are told where to sign in for it",
    }
)


def oidc_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Of the settings that were read without a fault: those that do not go together."""
    if "oidc_issuer" not in values:
        return
    if values["oidc_issuer"] is None:
        for name in _NEEDS_AN_ISSUER:
            if values.get(name):
                expected = f"to be set, as GATEWAY_{name.upper()} is"
                yield Fault("GATEWAY_OIDC_ISSUER", None, expected)
                return
        return
    for name, why in _NEEDED.items():
        if name in values and not values[name]:
            yield Fault(
                f"GATEWAY_{name.upper()}", None, f"to be set, as GATEWAY_OIDC_ISSUER is: {why}"
            )
    yield from _tenant_faults(values)
    if importlib.util.find_spec("cryptography") is None:
        expected = "the extra: pip install 'knowledge-base-gateway[oidc]'"
        yield Fault("GATEWAY_OIDC_ISSUER", values["oidc_issuer"], expected)


def _tenant_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    if not {"oidc_tenant", "oidc_tenant_claim", "oidc_tenants"} <= values.keys():
        return
    tenant, claim = values["oidc_tenant"], values["oidc_tenant_claim"]
    if tenant is None and claim is None:
        expected = "to be set, or GATEWAY_OIDC_TENANT_CLAIM, as GATEWAY_OIDC_ISSUER is"
        yield Fault("GATEWAY_OIDC_TENANT", None, expected)
    if tenant is not None and claim is not None:
        expected = "either it or GATEWAY_OIDC_TENANT_CLAIM, not both"
        yield Fault("GATEWAY_OIDC_TENANT", tenant, expected)
    if values["oidc_tenants"] and claim is None:
        expected = "to be set, as GATEWAY_OIDC_TENANTS is"
        yield Fault("GATEWAY_OIDC_TENANT_CLAIM", None, expected)
