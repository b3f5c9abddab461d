"""The provider's documents: what is believed of them, and what is no answer."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from gateway.adapters.oidc_provider import ANSWER_LIMIT_BYTES, OidcProvider
from gateway.domain.public_keys import load_algorithms
from gateway.errors import SignInUnavailable
from gateway.http_client.client import make_client
from gateway.http_client.transport import CoreTransport
from tests.company import SigningKey
from tests.edge.company import KEYS, WELL_KNOWN, IssuerServer, answer, issuer_server

load_algorithms()


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    async with issuer_server() as running:
        yield running


@pytest.fixture
async def provider(issuer: IssuerServer) -> AsyncIterator[OidcProvider]:
    async with make_client(CoreTransport(limit=4)) as client:
        yield OidcProvider(client, issuer.name, budget_s=20.0)


async def test_its_keys_stand_where_its_metadata_says(
    issuer: IssuerServer, provider: OidcProvider
) -> None:
    """Two questions; what is asked next is asked anew."""
    assert [key.key_id for key in (await provider.keys()).keys] == ["key-1"]
    issuer.keys = [SigningKey("ES256", key_id="key-2")]
    assert [key.key_id for key in (await provider.keys()).keys] == ["key-2"]
    assert issuer.asked == [WELL_KNOWN, KEYS] * 2
    assert (await provider.metadata())["jwks_uri"] == f"{issuer.name}{KEYS}"


async def test_what_is_no_good_answer_is_none(issuer: IssuerServer, provider: OidcProvider) -> None:
    """Another issuer's words, keys from the network in plain text, nonsense, a redirect, too much:
    each as if the provider were away."""
    zipped = gzip.compress(issuer.key_set)
    no_answers: dict[str, dict[str, bytes]] = {
        "another issuer": {WELL_KNOWN: issuer.metadata(issuer="https://evil.example.com")},
        "the issuer with a slash": {WELL_KNOWN: issuer.metadata(issuer=f"{issuer.name}/")},
        "no issuer": {WELL_KNOWN: answer(b"{}")},
        "keys over plain HTTP": {WELL_KNOWN: issuer.metadata(jwks_uri="http://10.0.0.1/keys")},
        "keys in a file": {WELL_KNOWN: issuer.metadata(jwks_uri="file:///etc/passwd")},
        "keys nowhere": {WELL_KNOWN: issuer.metadata(jwks_uri=None)},
        "keys at no address": {WELL_KNOWN: issuer.metadata(jwks_uri="https://[")},
        "keys at no port": {WELL_KNOWN: issuer.metadata(jwks_uri="https://127.0.0.1:99999/keys")},
        "not JSON": {WELL_KNOWN: answer(b"<html>")},
        "a redirect": {WELL_KNOWN: answer(b"", "302 Found", f"Location: {issuer.name}{KEYS}")},
        "an error": {KEYS: answer(b"{}", "500 Internal Server Error")},
        "no keys": {KEYS: answer(b'{"keys": []}')},
        "too long": {KEYS: answer(b" " * ANSWER_LIMIT_BYTES + issuer.key_set)},
        "compressed": {KEYS: answer(zipped, "200 OK", "Content-Encoding: gzip")},
        "no HTTP": {KEYS: b"SSH-2.0-OpenSSH_9.2\r\n\r\n"},
    }
    for what, answers in no_answers.items():
        issuer.answers = dict(answers)
        assert await is_away(provider), what
    issuer.answers = {}
    assert (await provider.keys()).keys


async def test_a_provider_that_hangs_is_given_up(issuer: IssuerServer) -> None:
    """Within the budget for both answers together."""
    async with make_client(CoreTransport(limit=4)) as client:
        provider = OidcProvider(client, issuer.name, budget_s=0.2)
        for path in (WELL_KNOWN, KEYS):
            issuer.answers = {path: None}
            async with asyncio.timeout(20):
                with pytest.raises(SignInUnavailable):
                    await provider.keys()


async def test_a_provider_that_is_away_is_told_as_such() -> None:
    """Nobody listens there."""
    async with issuer_server() as gone:
        name = gone.name
    async with make_client(CoreTransport(limit=4)) as client:
        with pytest.raises(SignInUnavailable):
            await OidcProvider(client, name).metadata()


async def is_away(provider: OidcProvider) -> bool:
    try:
        await provider.keys()
    except SignInUnavailable:
        return True
    return False
