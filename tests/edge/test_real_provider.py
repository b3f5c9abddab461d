"""The company's sign-in with a real provider, as its people and its operators see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.domain.company import company_subject
from tests.provider.running import CLI, Provider, gateways_now, running_provider

from .conftest import Gateway, running_gateway
from .fakes import MovableClock
from .raw import TIMEOUT_S, Answer
from .served import Served, served
from .stub_core import META, STREAM_HEAD, StubCore, chunk


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    async with running_provider(tmp_path) as running:
        yield running


@pytest.fixture
async def gateway(
    core: StubCore, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Gateway]:
    """How seldom the provider is asked has tests of its own."""
    monkeypatch.setattr("gateway.flows.provider_keys.REFRESH_S", 0.0)
    # So long is waited for a provider that hangs.
    settings = {**provider.settings, "IO_DEADLINE": "10s"}
    async with running_gateway(core, clock=MovableClock(gateways_now()), **settings) as running:
        yield running


async def me(gateway: Gateway, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await gateway.client.get("/api/v1/auth/me", headers=headers)


def code(answer: httpx.Response) -> Any:
    return answer.json()["error"]["code"]


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_people_sign_in_there_and_come_in_here(
    algorithm: str, provider: Provider, gateway: Gateway
) -> None:
    """With the roles and the tenant that their claims stand for, by each algorithm."""
    await provider.change(algorithm=algorithm)
    found = (await me(gateway, await provider.token("erin"))).json()
    assert found["subject"] == company_subject(provider.issuer, "erin")
    assert (found["tenant"], found["roles"], found["name"]) == ("acme", ["editor"], "erin")
    assert (await me(gateway, await provider.token("olga"))).json()["tenant"] == "other"
    nobody = await provider.token("nora")
    assert (await me(gateway, nobody)).json()["roles"] == []
    headers = {"Authorization": f"Bearer {nobody}"}
    assert code(await gateway.client.get("/api/v1/keys", headers=headers)) == "FORBIDDEN"


async def test_tokens_that_are_for_somebody_else_are_refused(
    provider: Provider, gateway: Gateway
) -> None:
    """An ID token, another service's token, one that another client asked for."""
    both = await provider.sign_in("erin")
    assert code(await me(gateway, both["id_token"])) == "UNAUTHENTICATED"
    other = {**CLI, "client_id": "payroll-cli"}
    await provider.change(clients=[CLI, other])
    theirs = await provider.sign_in("erin", other)
    assert code(await me(gateway, theirs["access_token"])) == "UNAUTHENTICATED"
    await provider.change(audience="payroll")
    assert code(await me(gateway, await provider.token("erin"))) == "UNAUTHENTICATED"
    assert (await me(gateway, both["access_token"])).status_code == 200


async def test_keys_are_rotated_and_withdrawn(
    provider: Provider, gateway: Gateway, core: StubCore
) -> None:
    """Beside a new key the old one goes on; when it is withdrawn, its tokens and streams end."""
    old = await provider.token("erin")
    await provider.rotate(keep=True)
    new = await provider.token("erin")
    for token in (old, new, old):
        assert (await me(gateway, token)).status_code == 200
    core.holds(STREAM_HEAD, chunk(META))
    stream = await gateway.asking(credential={"Authorization": f"Bearer {new}"})
    await provider.rotate(keep=False)
    assert (await me(gateway, await provider.token("erin"))).status_code == 200
    for token in (old, new):
        assert code(await me(gateway, token)) == "UNAUTHENTICATED"
    async with asyncio.timeout(TIMEOUT_S):
        assert b"CREDENTIAL_REVOKED" in await stream.rest()
    stream.writer.close()


@pytest.mark.parametrize("fault", ["hangs", "is away"])
async def test_a_provider_that_does_not_answer_keeps_nobody_out_who_is_known(
    fault: str, provider: Provider, gateway: Gateway
) -> None:
    """Its keys of before go on; what they cannot judge is 503, until it is back."""
    known, other = await provider.token("erin"), await provider.token("rita")
    assert (await me(gateway, known)).status_code == 200
    await provider.rotate(keep=False)
    unknown = await provider.token("erin")
    child = provider.running.child
    if fault == "hangs":
        child.freeze()
    else:
        child.kill()
        await child.wait()
    assert code(await me(gateway, unknown)) == "SIGN_IN_UNAVAILABLE"
    for token in (known, other):
        assert (await me(gateway, token)).status_code == 200
    if fault == "hangs":
        child.thaw()
    else:
        await child.stop()
        await provider.running.start_again()
    async with asyncio.timeout(TIMEOUT_S):
        while (await me(gateway, await provider.token("erin"))).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (await me(gateway, await provider.token("erin"))).status_code == 200


async def test_all_workers_take_them(core: StubCore, provider: Provider, tmp_path: Path) -> None:
    """Their public keys are loaded before the fork; each worker asks for the provider's own."""
    settings = {**provider.settings, "S3_ENDPOINT": "http://127.0.0.1:1"}
    async with served(core, tmp_path, 2, **settings) as running:
        token = await provider.token("erin")
        for _ in range(40):
            answer = await let_in(running, token)
            assert answer.json()["auth_method"] == "oidc", answer.body
        signed_in = await running.said("company sign-in", 2)
        assert {line["name"] for line in signed_in} == {"erin"}


async def let_in(running: Served, token: str) -> Answer:
    """A worker that waited in vain for the keys, on a busy machine, asks for them a while later."""
    async with asyncio.timeout(TIMEOUT_S):
        while (answer := await running.get("/api/v1/auth/me", token)).status == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    return answer
