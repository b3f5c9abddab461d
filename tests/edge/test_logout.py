"""``POST /auth/logout``, as clients meet it: a token ends before it expires, and its streams do."""

from __future__ import annotations

import pytest

from gateway.errors import StorageUnavailable

from .conftest import Gateway, running_gateway
from .fakes import MemoryRevocations
from .stub_core import META, STREAM_HEAD, StubCore, chunk
from .test_query import terminal

LOGOUT, ME = "/api/v1/auth/logout", "/api/v1/auth/me"


async def status(gateway: Gateway, bearer: dict[str, str]) -> int:
    return (await gateway.client.get(ME, headers=bearer)).status_code


async def test_a_logged_out_token_is_refused_like_any_that_is_not_valid(gateway: Gateway) -> None:
    """At once, for logging out again too; the user's other tokens go on."""
    token, other = await gateway.bearer(), await gateway.bearer()
    answer = await gateway.client.post(LOGOUT, headers=token)
    assert (answer.status_code, answer.content) == (204, b"")
    for method, path in (("GET", ME), ("POST", LOGOUT)):
        refused = await gateway.client.request(method, path, headers=token)
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "UNAUTHENTICATED"
    assert await status(gateway, other) == 200


async def test_all_tokens_of_a_user_end_and_nobody_elses(gateway: Gateway) -> None:
    """A token that is issued afterwards is good, in the same second too."""
    tokens = [await gateway.bearer() for _ in range(3)]
    bobs = await gateway.bearer("bob")
    answer = await gateway.client.post(f"{LOGOUT}?all=true", headers=tokens[0])
    assert answer.status_code == 204
    assert [await status(gateway, token) for token in tokens] == [401] * 3
    assert await status(gateway, bobs) == 200
    assert await status(gateway, await gateway.bearer()) == 200


@pytest.mark.parametrize(
    "query", ["all=", "all=yes", "all=1", "all=TRUE", "all=true&all=true", "everything=true"]
)
async def test_what_is_not_understood_ends_nothing(gateway: Gateway, query: str) -> None:
    """Somebody who meant all of them is told, and does not believe it done."""
    token = await gateway.bearer()
    answer = await gateway.client.post(f"{LOGOUT}?{query}", headers=token)
    assert answer.status_code == 400
    assert await status(gateway, token) == 200


async def test_an_api_key_cannot_log_its_owner_out(gateway: Gateway) -> None:
    """Nor be made with that scope."""
    token = await gateway.bearer()
    for scopes, expected in ((["auth:me"], 201), (["auth:logout"], 400)):
        made = await gateway.client.post(
            "/api/v1/keys", json={"name": "k", "scopes": scopes}, headers=token
        )
        assert made.status_code == expected
        if expected == 201:
            key = {"X-API-Key": made.json()["secret"]}
    assert (await gateway.client.post(LOGOUT, headers=key)).status_code == 403
    assert await status(gateway, token) == 200


async def test_a_logout_that_cannot_be_kept_says_so(gateway: Gateway) -> None:
    """503 and the token works: nobody is told that it ended."""
    token = await gateway.bearer()
    gateway.revocations.failure = StorageUnavailable()
    answer = await gateway.client.post(LOGOUT, headers=token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "STORAGE_UNAVAILABLE")
    assert await status(gateway, token) == 200


@pytest.mark.parametrize("query", ["", "?all=true"])
async def test_a_stream_ends_with_the_token_that_opened_it(
    gateway: Gateway, core: StubCore, query: str
) -> None:
    """Its last event says why."""
    core.holds(STREAM_HEAD, chunk(META))
    token = await gateway.bearer()
    ended = await gateway.asking(credential=token)
    await gateway.client.post(LOGOUT + query, headers=token)
    assert terminal(await ended.rest())["code"] == "CREDENTIAL_REVOKED"
    ended.writer.close()


async def test_another_replica_refuses_what_it_was_never_told_of(core: StubCore) -> None:
    """It reads the list that both keep in one place."""
    kept = MemoryRevocations()
    async with (
        running_gateway(core, revocations=kept) as here,
        running_gateway(core, revocations=kept) as there,
    ):
        token = await here.bearer()
        assert await status(there, token) == 200
        assert (await here.client.post(LOGOUT, headers=token)).status_code == 204
        there.clock.now += 10
        while await status(there, token) != 401:
            pass
        assert await status(here, await there.bearer()) == 200
