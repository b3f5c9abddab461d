"""Who is on a socket: three places for a credential, one check, and what becomes of it later."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.ws import door, session
from gateway.edge.ws.connection import FIRST_LIMIT_BYTES
from gateway.edge.ws.door import UNSIGNED_PER_ADDRESS
from gateway.errors import Forbidden, StorageUnavailable
from gateway.flows.recheck import Recheck

from .conftest import Gateway, running_gateway
from .forging import forge
from .raw import exchange, request
from .sockets import PATH, UPGRADE, Socket, by_hand, opened
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk
from .test_logs import Lines, lines, uncached

__all__ = ["lines", "uncached"]

PLACES = ("header", "subprotocol", "message")


@contextlib.asynccontextmanager
async def signing_in(gateway: Gateway, place: str, token: str) -> Any:
    """A socket that was given ``token`` there, accepted or not."""
    if place == "header":
        async with opened(gateway, {"Authorization": f"Bearer {token}"}) as socket:
            yield socket
    elif place == "subprotocol":
        async with opened(gateway, None, ["kbg.v1", f"kbg.bearer.{token}"]) as socket:
            yield socket
    else:
        async with opened(gateway) as socket:
            await socket.say(type="auth", token=token)
            yield socket


async def made_key(gateway: Gateway, **fields: Any) -> tuple[str, str]:
    """A key of alice's: its id and its secret."""
    body = {"name": "k", "scopes": ["query:run"], **fields}
    made = await gateway.client.post("/api/v1/keys", json=body, headers=await gateway.bearer())
    return made.json()["key_id"], made.json()["secret"]


@pytest.mark.parametrize("kind", ["token", "key"])
@pytest.mark.parametrize("place", PLACES)
async def test_a_credential_is_taken_wherever_it_stands(
    place: str, kind: str, gateway: Gateway
) -> None:
    """And a question may follow a first message without waiting for anything."""
    text = await gateway.token() if kind == "token" else (await made_key(gateway))[1]
    async with signing_in(gateway, place, text) as socket:
        assert socket.of.subprotocol == "kbg.v1"
        await socket.ask()
        assert (await socket.answer())[-1]["event"] == "done"
    assert gateway.core.headers_of_query()["x-kb-subject"] == "alice"


async def test_a_key_has_a_header_of_its_own(gateway: Gateway) -> None:
    _, secret = await made_key(gateway)
    async with opened(gateway, {"X-API-Key": secret}) as socket:
        await socket.ask()
        assert (await socket.answer())[-1]["event"] == "done"


async def test_a_client_may_offer_no_subprotocol(gateway: Gateway) -> None:
    """As the client for a terminal does, which can also send no header."""
    async with opened(gateway, subprotocols=[]) as socket:
        assert socket.of.subprotocol is None
        await socket.say(type="auth", token=await gateway.token())
        await socket.ask()
        assert (await socket.answer())[-1]["event"] == "done"


def faulty(gateway: Gateway) -> dict[str, tuple[str, str]]:
    """Credentials that are refused, with the code of each."""
    then = int(gateway.clock.now) - 90_000
    return {
        "nonsense": ("nonsense", "UNAUTHENTICATED"),
        "an altered signature": (forge() + "x", "UNAUTHENTICATED"),
        "expired": (forge(exp=then + 3600, iat=then, nbf=then), "TOKEN_EXPIRED"),
        "nobody": (forge(sub="nobody"), "UNAUTHENTICATED"),
        "a key that is none": ("kbg_nonsense", "UNAUTHENTICATED"),
        "too long": ("x" * 7000, "UNAUTHENTICATED"),
    }


FAULTS = ("nonsense", "an altered signature", "expired", "nobody", "a key that is none", "too long")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", PLACES)
async def test_a_refused_credential_is_told_as_its_place_allows(
    place: str, fault: str, gateway: Gateway, lines: Lines
) -> None:
    """By a status where the client can read one, else by the close; the log knows the reason."""
    text, code = faulty(gateway)[fault]
    if place == "header":
        headers = {**UPGRADE, "Authorization": f"Bearer {text}"}
        answer = await exchange(gateway.address, request("GET", PATH, headers))
        assert (answer.status, answer.code) == (401, code)
        assert answer.header("www-authenticate")
        line = await lines.request(answer.header("x-request-id") or "")
    else:
        async with signing_in(gateway, place, text) as socket:
            await socket.ask()
            assert await socket.closed() == (4401, code)
        line = await lines.request(socket.of.response.headers["X-Request-ID"])
        assert (line["status"], line["close_code"], line["socket_end"]) == (101, 4401, "refused")
    assert line["error"] == code
    assert line["auth_reason"]
    assert text not in lines.text


async def test_two_credentials_are_one_too_many(gateway: Gateway) -> None:
    """In two places, as in two headers."""
    token = await gateway.token()
    two = {
        "headers": {"Authorization": f"Bearer {token}", "X-API-Key": token},
        "header and subprotocol": {
            "Authorization": f"Bearer {token}",
            "Sec-WebSocket-Protocol": f"kbg.v1, kbg.bearer.{token}",
        },
        "subprotocols": {"Sec-WebSocket-Protocol": "kbg.v1, kbg.bearer.a, kbg.bearer.b"},
    }
    for headers in two.values():
        answer = await exchange(gateway.address, request("GET", PATH, {**UPGRADE, **headers}))
        assert (answer.status, answer.code) == (401, "AMBIGUOUS_CREDENTIALS")


async def test_who_signed_in_does_not_do_so_again(gateway: Gateway) -> None:
    """Whose question it is would depend on when it was read."""
    token = await gateway.token()
    async with signing_in(gateway, "header", token) as socket:
        await socket.say(type="auth", token=token)
        assert await socket.closed() == (1008, "SIGNED_IN_ALREADY")


async def test_a_question_before_a_credential_is_refused(gateway: Gateway) -> None:
    for message in ({"type": "ask", "id": "1", "query": "hi"}, {"type": "cancel", "id": "1"}):
        async with opened(gateway) as socket:
            await socket.say(**message)
            assert await socket.closed() == (4401, "UNAUTHENTICATED")


async def test_a_socket_without_a_credential_is_closed_in_time(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it does meanwhile but saying who it is."""
    monkeypatch.setattr(session, "SIGN_IN_S", 0.5)
    async with opened(gateway) as socket:
        await socket.of.ping()
        assert await socket.closed() == (4401, "UNAUTHENTICATED")


async def test_sockets_without_a_credential_are_capped_by_address(gateway: Gateway) -> None:
    """One more is told to come back; who signs in makes room."""
    async with contextlib.AsyncExitStack() as stack:
        waiting = [
            await stack.enter_async_context(opened(gateway)) for _ in range(UNSIGNED_PER_ADDRESS)
        ]
        with pytest.raises(InvalidStatus) as refused:
            async with opened(gateway):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"]
        await stack.enter_async_context(
            signing_in(gateway, "header", await gateway.token())
        )  # it is counted nowhere
        await waiting[0].say(type="auth", token=await gateway.token())
        await waiting[0].ask()
        await waiting[0].answer()
        await stack.enter_async_context(opened(gateway))
    async with opened(gateway):
        pass


async def test_sockets_without_a_credential_are_capped_in_all(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "UNSIGNED_LIMIT", 1)
    async with opened(gateway):
        with pytest.raises(InvalidStatus):
            async with opened(gateway):
                pass


async def test_messages_that_wait_for_the_key_store_are_few(gateway: Gateway) -> None:
    """A client that is not known yet can make the gateway keep no more than a handful."""
    _, secret = await made_key(gateway)
    go_on = asyncio.Event()
    get = gateway.keys.get

    async def slow(*given: Any) -> Any:
        await go_on.wait()
        return await get(*given)

    gateway.keys.get = slow  # type: ignore[method-assign]
    gateway.clock.now += 60  # what is known of the key is too old
    async with opened(gateway) as socket:
        await socket.say(type="auth", token=secret)
        for number in range(session.WAITING_LIMIT + 1):
            await socket.ask(str(number))
        assert await socket.closed() == (1008, "TOO_MANY_MESSAGES")
    go_on.set()


async def test_a_client_nobody_knows_says_little(gateway: Gateway) -> None:
    """What it sends is kept, so it may send no more than a credential needs."""
    async with opened(gateway) as socket:
        await socket.say(type="auth", token="x" * FIRST_LIMIT_BYTES)
        assert (await socket.closed())[0] == 1009
    long = "ä" * 8192
    async with signing_in(gateway, "header", await gateway.token()) as socket:
        await socket.ask("1", long)
        assert (await socket.answer())[-1]["event"] == "done"
    assert json.loads(gateway.core.bodies[-1])["query"] == long


async def test_a_store_that_is_down_is_no_fault_of_the_client(gateway: Gateway) -> None:
    """It may come again, as 503 says over HTTP."""
    _, secret = await made_key(gateway)

    async def broken(*_: Any) -> Any:
        raise StorageUnavailable

    gateway.keys.get = broken  # type: ignore[method-assign]
    gateway.clock.now += 60
    async with signing_in(gateway, "message", secret) as socket:
        assert await socket.closed() == (1013, "STORAGE_UNAVAILABLE")


# --- later --------------------------------------------------------------------------------------


async def asked(socket: Socket, core: StubCore) -> asyncio.Event:
    """A question whose answer is under way."""
    go_on = core.holds(STREAM_HEAD + chunk(META), then=chunk(DONE) + END)
    await socket.ask()
    assert (await socket.next())["event"] == "meta"
    return go_on


async def test_a_token_that_ends_ends_its_questions_and_then_the_socket(core: StubCore) -> None:
    async with (
        running_gateway(core, JWT_EXPIRATION="1s") as gateway,
        signing_in(gateway, "header", await gateway.token()) as socket,
    ):
        await asked(socket, core)
        assert (await socket.error())["code"] == "TOKEN_EXPIRED"
        assert await socket.closed() == (4401, "TOKEN_EXPIRED")


async def test_a_token_that_ends_closes_a_socket_without_a_question(core: StubCore) -> None:
    async with (
        running_gateway(core, JWT_EXPIRATION="1s") as gateway,
        signing_in(gateway, "message", await gateway.token()) as socket,
    ):
        # Its clock is the test's: what ends it is the time that passes since.
        assert await socket.closed() == (4401, "TOKEN_EXPIRED")


async def test_a_user_who_is_disabled_loses_his_questions_and_his_sockets(
    gateway: Gateway,
) -> None:
    """Within a second, whether or not anything is asked on them."""
    users = gateway.users.users
    idle_token, busy_token = await gateway.token(), await gateway.token()
    async with (
        signing_in(gateway, "message", idle_token) as idle,
        signing_in(gateway, "header", busy_token) as busy,
        signing_in(gateway, "header", await gateway.token("bob")) as bobs,
    ):
        await idle.ask()
        assert (await idle.answer())[-1]["event"] == "done"
        await asked(busy, gateway.core)
        users["alice"] = replace(users["alice"], disabled=True)
        assert (await busy.error())["code"] == "CREDENTIAL_REVOKED"
        assert await busy.closed() == (4401, "CREDENTIAL_REVOKED")
        assert await idle.closed() == (4401, "CREDENTIAL_REVOKED")
        await (await bobs.of.ping())


@pytest.mark.parametrize("looked_up", ["just now", "long ago"])
async def test_a_key_that_is_revoked_closes_its_sockets(gateway: Gateway, looked_up: str) -> None:
    """At once, and no other key's; no question has to come for it."""
    key_id, secret = await made_key(gateway)
    _, other = await made_key(gateway)
    async with (
        signing_in(gateway, "header", secret) as socket,
        signing_in(gateway, "message", other) as others,
    ):
        await others.ask()
        await others.answer()
        if looked_up == "long ago":
            gateway.clock.now += 60
        gone = await gateway.client.delete(f"/api/v1/keys/{key_id}", headers=await gateway.bearer())
        assert gone.status_code == 204
        assert await socket.closed() == (4401, "CREDENTIAL_REVOKED")
        await others.ask("2")
        assert (await others.answer("2"))[-1]["event"] == "done"


async def test_idle_sockets_ask_the_key_store_nothing(gateway: Gateway) -> None:
    """However long they stand, and also while it is away: their next question asks."""
    _, secret = await made_key(gateway)
    async with signing_in(gateway, "header", secret) as socket:
        await socket.ask()
        await socket.answer()
        gateway.clock.now += 600
        recheck = gateway.app.ctx.gateway.provided[Recheck]
        get, asked_for = gateway.keys.get, []

        async def counted(*given: Any) -> Any:
            asked_for.append(given)
            return await get(*given)

        gateway.keys.get = counted  # type: ignore[method-assign]
        for _ in range(3):
            await recheck.check_due()
        await (await socket.of.ping())
        assert asked_for == []
        await socket.ask("2")
        assert (await socket.answer("2"))[-1]["event"] == "done"
        assert asked_for


async def test_a_permission_that_is_withdrawn_closes_the_socket(gateway: Gateway) -> None:
    """After the error of each question that ran."""
    streams = gateway.app.ctx.gateway.provided[OpenStreams]
    async with signing_in(gateway, "header", await gateway.token()) as socket:
        await asked(socket, gateway.core)
        streams.stop_all(Forbidden())
        assert (await socket.error())["code"] == "FORBIDDEN"
        assert await socket.closed() == (4403, "FORBIDDEN")


async def test_a_token_never_reaches_the_log(gateway: Gateway, lines: Lines) -> None:
    """Nor does a question, in whatever message it stands."""
    token = await gateway.token()
    for place in PLACES:
        async with signing_in(gateway, place, token) as socket:
            await socket.ask("1", "canary-31f7")
            await socket.answer("1")
            await socket.say(type="auth", token=token, extra="canary-31f7")
            await socket.closed()
    async with by_hand(gateway, Authorization=f"Bearer {token}") as raw:
        raw.say(type="ask", id="1", query="canary-31f7", more="canary-31f7")
        await raw.next()
    assert "canary-31f7" not in lines.text
    assert token not in lines.text
    assert token.split(".")[2] not in lines.text
