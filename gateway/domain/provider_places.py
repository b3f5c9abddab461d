"""Where a provider of OpenID Connect takes what, by the metadata that it publishes of itself.

Source: OpenID Connect Discovery 1.0 (3), RFC 8414 (2), RFC 9207 (3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.domain.hosts import is_loopback


@dataclass(frozen=True, slots=True)
class Places:
    """What a sign-in needs to know of a provider.

    Attributes:
        authorization: where browsers are sent.
        token: where codes are redeemed.
        names_issuer: its answers carry ``iss``.
        secret_in_body: it takes a client's secret in the body alone, not by HTTP Basic.
    """

    authorization: str
    token: str
    names_issuer: bool
    secret_in_body: bool


def places_of(metadata: Mapping[str, Any]) -> Places:
    """
    Raises:
        ValueError: it does not say where, or names a place that a secret must not be sent to.
    """
    # What Discovery says where nothing is said.
    methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    takes = {one for one in methods if isinstance(one, str)} if isinstance(methods, list) else set()
    return Places(
        authorization=_place(metadata, "authorization_endpoint"),
        token=_place(metadata, "token_endpoint"),
        names_issuer=metadata.get("authorization_response_iss_parameter_supported") is True,
        secret_in_body="client_secret_basic" not in takes and "client_secret_post" in takes,
    )


def _place(metadata: Mapping[str, Any], name: str) -> str:
    """RFC 8414, 2: https; plain HTTP only where it stays on this machine. Never with a fragment."""
    url = metadata.get(name)
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"the provider's metadata has no good {name}")
    parts = urlsplit(url)
    # Of a port that is none, reading it raises what is wanted here.
    if not parts.hostname or parts.port == 0 or parts.fragment or "#" in url or "@" in parts.netloc:
        raise ValueError(f"the provider's metadata has no good {name}")
    if not is_safe_address(url):
        raise ValueError(f"the provider's {name} is not https")
    return url


def is_safe_address(url: str) -> bool:
    """https, or plain HTTP that does not leave this machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or port == 0:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
