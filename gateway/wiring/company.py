"""The company's sign-in: made from the settings where they name a provider, and else not loaded.

Two dependencies: the provider, which readiness watches, and the people who signed in, who are in
the keys' bucket and have no row of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.adapters.s3_client import make_client
from gateway.domain.claim_mapping import ClaimMapping
from gateway.flows.key_owners import CompanyOwners
from gateway.http_client.client import make_client as make_http_client
from gateway.http_client.transport import CoreTransport
from gateway.ports import Clock, People
from gateway.settings import Settings
from gateway.telemetry import samples
from gateway.telemetry.samples import Sample, SampleSource
from gateway.wiring import browser_sign_in
from gateway.wiring.dependency import Building, Built, BuiltDependencies, Dependency
from gateway.wiring.from_settings import people_access

if TYPE_CHECKING:
    from gateway.adapters.oidc_codes import OidcCodes
    from gateway.adapters.oidc_provider import OidcProvider
    from gateway.domain.company_tokens import CompanyRules
    from gateway.flows.authenticate import Authenticator
    from gateway.flows.browser_sign_in import BrowserSignIn
    from gateway.flows.company_method import CompanyMethod
    from gateway.flows.known_revocations import KnownRevocations
    from gateway.flows.provider_keys import ProviderKeys

# Keys are asked for by one question at a time; a code of a sign-in takes one, too.
CONNECTIONS = 16
# What a reload takes over; another provider needs a restart.
RELOADED = frozenset(
    {
        *("oidc_audience", "oidc_clients", "oidc_tenant", "oidc_tenant_claim", "oidc_tenants"),
        *("oidc_roles_claim", "oidc_roles", "oidc_name_claim"),
        *browser_sign_in.RELOADED,
    }
)


@dataclass(frozen=True, slots=True)
class Provider:
    """The provider itself, what this worker knows of its keys, and where browsers' codes are taken.

    ``codes`` is ``None`` where browsers do not sign in.
    """

    itself: OidcProvider
    keys: ProviderKeys
    codes: OidcCodes | None


def is_on(settings: Settings) -> bool:
    return settings.oidc_issuer is not None


async def _provider(building: Building) -> Built[Provider | None]:
    settings = building.settings
    if settings.oidc_issuer is None:
        return Built(None, _nothing)
    _load(settings)
    from gateway.adapters.clock import SystemClock
    from gateway.adapters.oidc_provider import OidcProvider
    from gateway.flows.provider_keys import ProviderKeys

    tls = building.tls.context("oidc", settings.tls_files("oidc"))
    transport = CoreTransport(limit=CONNECTIONS, tls=tls)
    client = make_http_client(transport)
    building.closing.push_async_callback(client.aclose)
    itself = OidcProvider(client, settings.oidc_issuer)
    keys = ProviderKeys(itself, SystemClock(), building.tasks)

    def counted() -> Iterator[Sample]:
        return samples.key_refreshes(keys)

    return Built(
        Provider(itself, keys, browser_sign_in.codes_of(settings, client)),
        keys.check,
        (counted,),
        note=keys.note,
    )


def _load(settings: Settings) -> None:
    """In the process that workers are forked from, and again for nothing in each of them."""
    if is_on(settings):
        import gateway.adapters.oidc_provider
        import gateway.flows.company_method
        import gateway.flows.sign_ins  # noqa: F401
        from gateway.domain.public_keys import load_algorithms

        load_algorithms()
    browser_sign_in.import_for(settings)


PROVIDER: Dependency[Provider | None] = Dependency(
    "oidc", _provider, reloaded=RELOADED, before_fork=_load, watched=is_on
)


async def _people(building: Building) -> Built[People | None]:
    if not is_on(building.settings):
        return Built(None, _nothing)
    from gateway.adapters.s3_client import S3Client
    from gateway.adapters.s3_people import S3People

    access = people_access(building.settings)
    client = S3Client(access)
    building.closing.callback(client.close)
    building.tls.on_change("s3", access.tls, client.renew)

    async def reload(fresh: Settings) -> None:
        client.use(people_access(fresh))

    return Built(S3People(client, building.settings.s3_keys_bucket), _nothing, reload=reload)


def _make_people_client(settings: Settings) -> None:
    if is_on(settings):
        make_client(people_access(settings))


def _never(_settings: Settings) -> bool:
    return False


PEOPLE: Dependency[People | None] = Dependency(
    "people",
    _people,
    reloaded=frozenset({"s3_keys_access_key", "s3_keys_secret_key"}),
    before_fork=_make_people_client,
    watched=_never,
)


async def _nothing() -> None:
    return None


def key_owners(settings: Settings, built: BuiltDependencies) -> CompanyOwners | None:
    """What keys of people of the company go by."""
    people = built.adapter(PEOPLE)
    if people is None or not is_on(settings):
        return None
    return CompanyOwners(people, settings.oidc_keys_sleep_after)


def company_method(
    building: Building,
    built: BuiltDependencies,
    authenticator: Authenticator,
    known: KnownRevocations,
    clock: Clock,
) -> tuple[CompanyMethod | None, tuple[SampleSource, ...]]:
    """Has ``authenticator`` accept the company's tokens, too; with what there is to count."""
    provider, people = built.adapter(PROVIDER), built.adapter(PEOPLE)
    if provider is None or people is None or not is_on(building.settings):
        return None, ()
    from gateway.flows.company_method import CompanyMethod
    from gateway.flows.sign_ins import SignIns

    sign_ins = SignIns(people, clock, building.tasks)
    method = CompanyMethod(
        company_rules(building.settings),
        provider.keys,
        authenticator.accounts,
        known,
        clock,
        authenticator.verified,
        sign_ins.seen,
    )
    authenticator.add("oidc", method)
    return method, (lambda: samples.sign_ins(method.outcomes, sign_ins.lost),)


def sign_in_of(
    building: Building,
    built: BuiltDependencies,
    company: CompanyMethod | None,
    authenticator: Authenticator,
    known: KnownRevocations,
    clock: Clock,
) -> tuple[BrowserSignIn | None, Callable[[Settings], None], tuple[SampleSource, ...]]:
    """``browser_sign_in.browser_sign_in`` where browsers sign in; else nothing."""
    provider = built.adapter(PROVIDER)
    if company is None or provider is None or provider.codes is None:
        return None, _nothing_to_reload, ()
    made = browser_sign_in.browser_sign_in
    return made(building, provider.itself, provider.codes, company, authenticator, known, clock)


def _nothing_to_reload(_fresh: Settings) -> None:
    return None


def company_rules(settings: Settings) -> CompanyRules:
    """Of settings that name a provider."""
    from gateway.domain.company_tokens import CompanyRules

    return CompanyRules(
        issuer=settings.oidc_issuer or "",
        audience=settings.oidc_audience or "",
        clients=settings.oidc_client_ids,
        mapping=ClaimMapping(
            tenant=settings.oidc_tenant,
            tenant_claim=settings.oidc_tenant_claim,
            tenants=dict(settings.oidc_tenants),
            roles_claim=settings.oidc_roles_claim,
            roles={value: frozenset(roles) for value, roles in settings.oidc_roles},
            name_claim=settings.oidc_name_claim,
        ),
        lifetime_s=int(settings.jwt_expiration),
        skew_s=int(settings.jwt_skew),
    )


def rules_after(before: CompanyRules, fresh: Settings) -> CompanyRules:
    """What a reload makes of the rules; another issuer is for the next start."""
    return replace(company_rules(fresh), issuer=before.issuer)
