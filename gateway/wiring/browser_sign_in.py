"""Signing in with a browser: made where the settings say what the gateway is to the provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.ports import Clock, IdentityProvider
from gateway.settings import Settings
from gateway.telemetry import samples
from gateway.telemetry.samples import SampleSource
from gateway.wiring.dependency import Building

if TYPE_CHECKING:
    from gateway.adapters.oidc_codes import OidcCodes
    from gateway.flows.authenticate import Authenticator
    from gateway.flows.browser_sign_in import BrowserSignIn
    from gateway.flows.company_method import CompanyMethod
    from gateway.flows.known_revocations import KnownRevocations

# What a reload takes over, beside what it does of tokens.
RELOADED = frozenset({"oidc_client_secret"})


def import_for(settings: Settings) -> None:
    """In the process that workers are forked from."""
    if settings.signs_in_browsers:
        import gateway.adapters.aes_seals
        import gateway.adapters.oidc_codes
        import gateway.flows.browser_sign_in  # noqa: F401


def codes_of(settings: Settings, client: Any) -> OidcCodes | None:
    """``None`` where browsers do not sign in; ``client`` sends requests to the provider."""
    if not settings.signs_in_browsers:
        return None
    from gateway.adapters.oidc_codes import OidcCodes

    return OidcCodes(
        client,
        client_id=settings.oidc_client_id or "",
        client_secret=settings.oidc_client_secret,
        budget_s=settings.oidc_exchange_timeout,
    )


def browser_sign_in(
    building: Building,
    provider: IdentityProvider,
    codes: OidcCodes,
    company: CompanyMethod,
    authenticator: Authenticator,
    known: KnownRevocations,
    clock: Clock,
) -> tuple[BrowserSignIn, Callable[[Settings], None], tuple[SampleSource, ...]]:
    """Has ``authenticator`` accept sessions, too; with what takes over other settings at a reload,
    and what there is to count."""
    settings = building.settings
    from gateway.adapters.aes_seals import AesSeals
    from gateway.domain.code_flow import Client
    from gateway.flows.browser_sign_in import BrowserSignIn
    from gateway.flows.known_places import KnownPlaces
    from gateway.flows.session_method import SessionMethod

    client = Client(
        issuer=settings.oidc_issuer or "",
        client_id=settings.oidc_client_id or "",
        public_url=settings.public_url or "",
        scope=" ".join(settings.oidc_scopes),
    )
    seals = AesSeals(settings.jwt_secrets, sealed_for(settings))
    sessions = SessionMethod(
        company, seals, known, clock, authenticator.verified, client_id=client.client_id
    )
    authenticator.add("session", sessions)
    places = KnownPlaces(provider, clock, building.tasks)

    def reload(fresh: Settings) -> None:
        codes.use_secret(fresh.oidc_client_secret)
        seals.use(fresh.jwt_secrets, sealed_for(fresh, issuer=client.issuer))

    use_case = BrowserSignIn(client, places, codes, seals, sessions, clock)
    return use_case, reload, (lambda: samples.browser_sign_ins(use_case.outcomes),)


def sealed_for(settings: Settings, issuer: str | None = None) -> tuple[str, ...]:
    """What a session hangs on beside the secret: of another provider, or after another reading of
    its claims, it is none. ``issuer`` is the one that is in use, where the settings name the next
    start's."""
    mapping = (
        *(settings.oidc_tenant, settings.oidc_tenant_claim, settings.oidc_tenants),
        *(settings.oidc_roles_claim, settings.oidc_roles),
    )
    read = msgspec.json.encode(mapping).decode("utf-8")
    return (issuer or settings.oidc_issuer or "", settings.oidc_client_id or "", read)
