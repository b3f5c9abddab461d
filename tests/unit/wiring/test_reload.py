"""A reload reaches whoever shows a credential: what goes over the wire then is the new one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import fields, replace
from typing import Any

import pytest

from gateway.domain.api_keys import format_key, new_secret
from gateway.domain.documents import Announced
from gateway.domain.key_checksums import CHARS, KeyChecksums
from gateway.edge.tasks import Tasks
from gateway.errors import GatewayError, StorageUnavailable, Unauthenticated
from gateway.flows.credentials import Credential
from gateway.ports import OnBehalfOf
from gateway.settings import Settings
from gateway.wiring import dependencies
from gateway.wiring.dependencies import CORE, KEYS, STORAGE
from gateway.wiring.reload import needing_restart
from gateway.wiring.services import Services, build_services

from ..valid_settings import load

WHO = OnBehalfOf("alice", "acme", frozenset({"editor"}), "request-1")
ID = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
ID_OF_KEY = "aaaaaaaaaaaaaaaa"
ANNOUNCED = Announced("a.txt", "text/plain", 3, None, None, 1_800_000_000)
SHOWN = re.compile(r"(?:Bearer |Credential=)([^/\s]+)")


@asynccontextmanager
async def noting() -> AsyncIterator[tuple[str, list[str]]]:
    """A server that knows nothing of anything, and the credentials that it was shown."""
    shown: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        shown.extend(SHOWN.findall(head))
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", shown


async def called(services: Services) -> None:
    """One call to each dependency that is shown a credential, whatever it answers."""
    deadline = asyncio.get_running_loop().time() + 30
    adapter = services.dependencies.adapter
    for call in (
        adapter(CORE).get_document(WHO, ID),
        adapter(STORAGE).head("uploads/acme/alice/x", deadline),
        adapter(KEYS).get("aaaaaaaaaaaaaaaa", deadline),
    ):
        with suppress(GatewayError):
            await call


@asynccontextmanager
async def running(url: str, **more: str) -> AsyncIterator[Services]:
    settings = {
        "GATEWAY_SERVICES_CORE": url,
        "GATEWAY_SERVICES_TEMPORAL": "127.0.0.1:9",
        "GATEWAY_S3_ENDPOINT": url,
        "GATEWAY_USERS_FILE": "",
        "GATEWAY_ADMIN_USERNAME": "admin",
        "GATEWAY_ADMIN_PASSWORD": "the admin's password",
    }
    tasks = Tasks()
    services = await build_services(load(**settings, **more), tasks)
    try:
        yield services
    finally:
        await tasks.stop()
        await services.aclose()


async def test_after_a_reload_every_dependency_is_shown_its_new_credential() -> None:
    """The core, both buckets and what is presigned for clients, each its own and no other's."""
    async with noting() as (url, shown), running(url) as services:
        before = services.settings
        fresh = replace(
            before, core_token="core-new", s3_access_key="docs-new", s3_keys_access_key="keys-new"
        )
        assert needing_restart(before, fresh) == []
        await called(services)
        assert not set(shown) & {"core-new", "docs-new", "keys-new"}
        shown.clear()
        await services.reload(fresh)
        await called(services)
        assert list(dict.fromkeys(shown)) == ["core-new", "docs-new", "keys-new"]
        store = services.dependencies.adapter(STORAGE)
        signed = store.presign_put("uploads/acme/alice/x", ANNOUNCED, expires_in_s=60)
        assert "X-Amz-Credential=docs-new" in signed.url


COMPANY = {
    "GATEWAY_PUBLIC_URL": "https://kb.example.com",
    "GATEWAY_OIDC_ISSUER": "http://127.0.0.1:9",
    "GATEWAY_OIDC_AUDIENCE": "knowledge-base",
    "GATEWAY_OIDC_TENANT": "acme",
    "GATEWAY_OIDC_ROLES": "kb-readers reader",
}
OWN, OTHER = b"the checksums' own secret of 32 bytes", b"another secret of more than thirty-two"


async def test_after_a_reload_keys_are_made_and_told_by_the_new_checksum_secrets() -> None:
    """Keys of the previous secret go on; those of a secret that was taken out are made up."""
    async with noting() as (url, _), running(url) as services:
        before = services.settings
        await services.reload(replace(before, keys_secret=OWN))
        old = format_key(ID_OF_KEY, new_secret(), services.keys.checksums)
        assert await _is_looked_up(services, old)
        await services.reload(replace(before, keys_secret=OTHER, keys_secret_previous=OWN))
        new = format_key(ID_OF_KEY, new_secret(), services.keys.checksums)
        assert KeyChecksums([], [OTHER]).made(new[:-CHARS], new[-CHARS:])
        assert [await _is_looked_up(services, key) for key in (old, new)] == [True, True]
        await services.reload(replace(before, keys_secret=OTHER))
        assert [await _is_looked_up(services, key) for key in (old, new)] == [False, True]


async def _is_looked_up(services: Services, key: str) -> bool:
    """A made-up key is refused at once; for others the store is asked, which gives no answer."""
    deadline = asyncio.get_running_loop().time() + 30
    with pytest.raises((Unauthenticated, StorageUnavailable)) as caught:
        await services.authenticator.authenticate(Credential("api_key", key), deadline)
    return isinstance(caught.value, StorageUnavailable)


async def test_after_a_reload_the_companys_claims_mean_what_the_new_settings_say() -> None:
    """Roles, tenants, audience and clients; another provider is for the next start."""
    async with noting() as (url, _), running(url, **COMPANY) as services:
        before = services.settings
        fresh = replace(before, oidc_roles=(("kb-readers", ("editor",)),), oidc_audience="kb-2")
        assert needing_restart(before, fresh) == []
        fresh = replace(fresh, oidc_issuer="https://elsewhere.example.com")
        assert needing_restart(before, fresh) == ["GATEWAY_OIDC_ISSUER"]
        await services.reload(fresh)
        assert services.company is not None
        rules = services.company.rules
        assert rules.mapping.roles == {"kb-readers": frozenset({"editor"})}
        assert (rules.audience, rules.issuer) == ("kb-2", COMPANY["GATEWAY_OIDC_ISSUER"])


SECRETS = sorted(
    {"core_token", "s3_access_key", "s3_secret_key", "s3_keys_access_key", "s3_keys_secret_key"}
)


@pytest.mark.parametrize("name", SECRETS)
def test_every_credential_of_a_dependency_is_taken_over_without_a_restart(name: str) -> None:
    """An id without its secret, or a secret without its id, would be refused by the store."""
    assert name in dependencies.reloaded_settings()


TOKENS: list[tuple[str, Any]] = [
    ("jwt_secret", b"another secret of more than thirty-two bytes"),
    ("jwt_secret_previous", b"another secret of more than thirty-two bytes"),
    *(("jwt_issuer", "elsewhere"), ("jwt_audience", "elsewhere")),
    *(("jwt_expiration", 60.0), ("jwt_skew", 7.0)),
]


@pytest.mark.parametrize(("name", "value"), TOKENS)
def test_what_tokens_are_verified_by_is_taken_over_without_a_restart(name: str, value: Any) -> None:
    """And anything else that changed is named, so that nobody waits for it in vain."""
    before = load()
    assert name in {field.name for field in fields(Settings)}
    assert needing_restart(before, replace(before, **{name: value})) == []
    changed = replace(before, **{name: value, "server_port": before.server_port + 1})
    assert needing_restart(before, changed) == ["GATEWAY_SERVER_PORT"]
