"""A running stream ends when what let it in is taken away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from .conftest import Gateway, running_gateway
from .stub_core import META, STREAM_HEAD, StubCore, chunk
from .test_query import terminal


async def make_key(gateway: Gateway) -> tuple[str, dict[str, str]]:
    """Alice's key for asking, as (id, header)."""
    made = await gateway.client.post(
        "/api/v1/keys",
        json={"name": "asker", "scopes": ["query:run"]},
        headers=await gateway.bearer(),
    )
    return made.json()["key_id"], {"X-API-Key": made.json()["secret"]}


async def test_a_revoked_key_ends_its_running_stream(gateway: Gateway) -> None:
    """Its look-up is remembered for five seconds; then the stream is told."""
    key_id, header = await make_key(gateway)
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking(credential=header)
    await streaming.until(META)
    revoked = await gateway.client.delete(f"/api/v1/keys/{key_id}", headers=await gateway.bearer())
    assert revoked.status_code == 204
    gateway.clock.now += 6
    assert terminal(META + await streaming.rest())["code"] == "TOKEN_EXPIRED"
    streaming.writer.close()


async def test_a_removed_user_ends_his_running_stream(gateway: Gateway) -> None:
    """The users are looked at every round, as they are for every request."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking()
    await streaming.until(META)
    del gateway.users.users["alice"]
    gateway.users.revision += 1
    assert terminal(META + await streaming.rest())["code"] == "TOKEN_EXPIRED"
    streaming.writer.close()


@pytest.mark.parametrize("roles", [frozenset(), frozenset({"nobody"})])
async def test_a_withdrawn_role_ends_the_running_stream(
    core: StubCore, roles: frozenset[str]
) -> None:
    """The policy is asked again with the roles of now."""
    async with running_gateway(core, STREAM_RECHECK="1s") as gateway:
        gateway.core.holds(STREAM_HEAD, chunk(META))
        streaming = await gateway.asking()
        await streaming.until(META)
        users = gateway.users
        users.users["alice"] = replace(users.users["alice"], roles=roles)
        users.revision += 1
        gateway.clock.now += 2
        assert terminal(META + await streaming.rest())["code"] == "FORBIDDEN"
        streaming.writer.close()
