"""A running stream ends when what let it in is taken away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

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
    assert_revoked(META + await streaming.rest())
    streaming.writer.close()


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"disabled": True},
        {"tenant": "other"},
        {"password_hash": "another"},
        {"tokens_valid_after": 1_800_000_001},
    ],
    ids=["removed", "disabled", "moved", "new password", "disabled and enabled"],
)
async def test_an_ended_user_ends_his_running_stream(
    gateway: Gateway, change: dict[str, Any] | None
) -> None:
    """The users are looked at every round, as they are for every request."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking()
    await streaming.until(META)
    alice = gateway.users.users.pop("alice")
    if change is not None:
        gateway.users.users["alice"] = replace(alice, **change)
    gateway.users.revision += 1
    assert_revoked(META + await streaming.rest())
    streaming.writer.close()


async def test_an_expired_key_has_expired_and_was_not_revoked(gateway: Gateway) -> None:
    """What was to end anyway ends as that, and the words fit a key as well as a token."""
    made = await gateway.client.post(
        "/api/v1/keys",
        json={"name": "asker", "scopes": ["query:run"], "expires_in": 60},
        headers=await gateway.bearer(),
    )
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking(credential={"X-API-Key": made.json()["secret"]})
    await streaming.until(META)
    gateway.clock.now += 61
    error = terminal(META + await streaming.rest())
    assert error["code"] == "TOKEN_EXPIRED"
    assert "key has expired" in error["message"]
    streaming.writer.close()


async def test_an_answer_as_json_says_what_a_stream_says(gateway: Gateway) -> None:
    """There the head is still to be sent: 401, with the challenge every 401 has."""
    key_id, header = await make_key(gateway)
    gateway.core.holds(STREAM_HEAD, chunk(META))
    question = {"query": "hi", "stream": False}
    asked = asyncio.create_task(gateway.client.post("/api/v1/query", json=question, headers=header))
    await gateway.core.asked.wait()
    bearer = await gateway.bearer()
    await gateway.client.delete(f"/api/v1/keys/{key_id}", headers=bearer)
    gateway.clock.now += 6
    answer = await asked
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "CREDENTIAL_REVOKED")
    assert "invalid_token" in answer.headers["WWW-Authenticate"]


def assert_revoked(body: bytes) -> None:
    """A code and words of its own: logging in again is no advice to a program with a key."""
    error = terminal(body)
    assert error["code"] == "CREDENTIAL_REVOKED"
    assert "has been ended" in error["message"]


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
