"""The settings of signing in with a browser: what the gateway is to the company's provider."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.domain.hosts import is_loopback
from gateway.domain.own_pages import CSRF_HEADER
from gateway.settings import parsers as p
from gateway.settings.faults import Fault
from gateway.settings.oidc_settings import OidcSettings
from gateway.settings.spec import group

_sign_in = group("Company sign-in in a browser")
# RFC 6749, 3.3.
_SCOPE = re.compile(r"[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]{1,100}\Z")


def _parse_scope(text: str) -> str:
    if _SCOPE.match(text) is None:
        raise ValueError(text)
    return text


SCOPE = p.Parser("a scope's name, such as email", _parse_scope)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SignInSettings(OidcSettings):
    """Part of ``Settings``: the authorization code flow, and the sessions that come of it."""

    oidc_client_id: str | None = _sign_in(
        p.TOKEN,
        None,
        "What the gateway is called at the provider. With it browsers sign in there and get a"
        " session: see docs/browser-sessions.md. Unset: there are no routes for that, and no cookie"
        " is looked at.",
        example="knowledge-base",
    )
    oidc_client_secret: str | None = _sign_in(
        p.TOKEN,
        None,
        "The gateway's secret at the provider. Unset: a public client, whose codes PKCE alone"
        " protects.",
        secret=True,
    )
    oidc_scopes: tuple[str, ...] = _sign_in(
        p.list_of(SCOPE, "scopes, openid among them", at_least=1),
        "openid,profile",
        "What is asked for at a sign-in, so that the ID token has the claims that name tenant and"
        " roles.",
    )
    oidc_exchange_timeout: float = _sign_in(
        p.duration("100ms", "60s"),
        "5s",
        "How long the provider may take to give a token for a code.",
    )

    @property
    def signs_in_browsers(self) -> bool:
        return self.oidc_client_id is not None


def sign_in_faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Of the settings that were read without a fault: those that do not go together."""
    scopes = values.get("oidc_scopes")
    if scopes is not None and "openid" not in scopes:
        yield Fault("GATEWAY_OIDC_SCOPES", ",".join(scopes), "a list with openid in it")
    if values.get("oidc_client_id") is not None:
        yield from _needs(values)
    elif values.get("oidc_client_secret") is not None:
        expected = "to be set, as GATEWAY_OIDC_CLIENT_SECRET is"
        yield Fault("GATEWAY_OIDC_CLIENT_ID", None, expected)


def _needs(values: Mapping[str, Any]) -> Iterator[Fault]:
    if "oidc_issuer" in values and values["oidc_issuer"] is None:
        expected = "to be set, as GATEWAY_OIDC_CLIENT_ID is"
        yield Fault("GATEWAY_OIDC_ISSUER", None, expected)
    if "public_url" in values:
        yield from _public_url(values["public_url"])
    if CSRF_HEADER in values.get("cors_headers", ()):
        expected = f"headers without {CSRF_HEADER}: pages of other origins must not send it"
        yield Fault("GATEWAY_CORS_HEADERS", CSRF_HEADER, expected)


def _public_url(url: str | None) -> Iterator[Fault]:
    """Over plain HTTP a session could be read, and set, by anybody on the way."""
    if url is None:
        expected = "to be set, as GATEWAY_OIDC_CLIENT_ID is: the provider sends browsers there"
        yield Fault("GATEWAY_PUBLIC_URL", None, expected)
    elif url.startswith("http://") and not is_loopback(urlsplit(url).hostname or ""):
        expected = "an https:// address, or one of this machine, as GATEWAY_OIDC_CLIENT_ID is set"
        yield Fault("GATEWAY_PUBLIC_URL", url, expected)
