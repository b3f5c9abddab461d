"""A running stream ends when what let it in is taken away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import StorageUnavailable

from .conftest import Gateway, Streaming, running_gateway
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk
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
    """At once, however young the key's look-up is: no clock moves here."""
    key_id, header = await make_key(gateway)
    gateway.core.holds(STREAM_HEAD, chunk(META))
    streaming = await gateway.asking(credential=header)
    await streaming.until(META)
    revoked = await gateway.client.delete(f"/api/v1/keys/{key_id}", headers=await gateway.bearer())
    assert revoked.status_code == 204
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


# More than are asked about at once, at the store and anywhere.
KEY_STREAMS = 70


class FrozenStore:
    """Look-ups of keys get no answer, until their deadline or at all."""

    def __init__(self, *, hangs: bool) -> None:
        self.asked = 0
        self._hangs = hangs

    async def get(self, key_id: str, deadline: float) -> None:
        self.asked += 1
        if self._hangs:
            await asyncio.sleep(deadline - asyncio.get_running_loop().time())
        raise StorageUnavailable


async def by_keys(gateway: Gateway, count: int) -> list[Streaming]:
    """Streams of alice's, of a key each."""
    streams = []
    for _ in range(count):
        _, header = await make_key(gateway)
        streams.append(await gateway.asking(credential=header))
    return streams


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "refuses"])
async def test_tokens_do_not_depend_on_the_key_store(core: StubCore, hangs: bool) -> None:
    """With the store gone and many streams of keys, a disabled user's token ends its stream at
    the next round, which is a second later; another's runs on to its end when those of the keys
    are ended, which is after ``GATEWAY_STREAM_RECHECK``.
    """
    async with running_gateway(core) as gateway:
        go_on = core.holds(STREAM_HEAD, chunk(META), then=chunk(DONE) + END)
        keys = await by_keys(gateway, KEY_STREAMS)
        disabled = await gateway.asking(credential=await gateway.bearer("bob"))
        valid = await gateway.asking()
        for stream in (*keys, disabled, valid):
            await stream.until(META)
        frozen = FrozenStore(hangs=hangs)
        gateway.keys.get = frozen.get  # type: ignore[assignment]
        gateway.clock.now += 6
        while not frozen.asked:  # noqa: ASYNC110  (a fake, which tells nobody)
            await asyncio.sleep(0.01)
        gateway.users.users["bob"] = replace(gateway.users.users["bob"], disabled=True)
        gateway.users.revision += 1
        assert_revoked(META + await disabled.rest())
        gateway.clock.now += 60
        for stream in keys:
            assert terminal(META + await stream.rest())["code"] == "STORAGE_UNAVAILABLE"
        go_on.set()
        assert await valid.rest() == DONE
        for stream in (*keys, disabled, valid):
            stream.writer.close()


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
