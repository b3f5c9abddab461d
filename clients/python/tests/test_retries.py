"""What is sent again, when, and with what."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from knowledge_base import Retries, errors

from .both import Make
from .fake_server import ID, Answer, FakeServer, refused, told

IDENTITY = {"subject": "a", "tenant": "t", "roles": [], "scopes": None}
ME = {**IDENTITY, "auth_method": "jwt", "expires_at": None}
KEY = {
    "key_id": "k",
    "name": "n",
    "owner": "a",
    "scopes": ["query:run"],
    "created_at": "2027-01-01T00:00:00Z",
    "expires_at": None,
    "revoked_at": None,
}
SAFE: dict[str, tuple[Any, ...]] = {
    "me": (),
    "usage": (),
    "keys.list": (),
    "documents.get": (ID,),
    "documents.delete": (ID,),
    "search": ("tea?",),
    "keys.create": ("n", ["query:run"]),
}
UNSAFE: dict[str, tuple[Any, ...]] = {"ask": ("tea?",), "keys.rotate": ("k",), "logout": ()}
LOST: dict[str, Callable[[], Answer]] = {
    "broken": lambda: httpx.ReadError("reset"),
    "hung up": lambda: httpx.RemoteProtocolError("Server disconnected"),
    "late": lambda: httpx.ReadTimeout("late"),
    "a bad gateway": lambda: told(502, {}),
    "no time": lambda: refused(504, "TEMPORAL_TIMEOUT"),
}


@pytest.mark.parametrize("method", SAFE)
@pytest.mark.parametrize("how", LOST)
async def test_what_may_be_done_twice_is_sent_again(
    method: str, how: str, client: Make, server: FakeServer, waits: list[float]
) -> None:
    """It changes nothing, or is known again by its key."""
    server.answers = [LOST[how](), told(418, {})]
    with pytest.raises(errors.ApiError, match="HTTP_418"):
        await client().call(method, *SAFE[method])
    first, second = server.requests
    assert len(waits) == 1
    assert first.content == second.content
    assert first.headers.get("idempotency-key") == second.headers.get("idempotency-key")
    assert ("idempotency-key" in first.headers) == (method == "keys.create")


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("how", LOST)
async def test_what_may_have_been_done_is_not(
    method: str, how: str, client: Make, server: FakeServer
) -> None:
    """A second answer costs again, a second secret makes the first one old."""
    server.answers = [LOST[how]()]
    with pytest.raises(errors.KnowledgeBaseError):
        await client().call(method, *UNSAFE[method])
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", {**SAFE, **UNSAFE})
@pytest.mark.parametrize("code", ["RATE_LIMITED", "OVERLOADED", "refused"])
async def test_what_was_not_done_is_sent_again(
    method: str, code: str, client: Make, server: FakeServer, waits: list[float]
) -> None:
    """After the time that the server said, and a little more, so that not all come at once."""
    status = 429 if code == "RATE_LIMITED" else 503
    first = (
        httpx.ConnectError("refused")
        if code == "refused"
        else refused(status, code, Retry_After="7")
    )
    server.answers = [first, told(418, {})]
    with pytest.raises(errors.ApiError, match="HTTP_418"):
        await client().call(method, *{**SAFE, **UNSAFE}[method])
    assert len(server.requests) == 2
    (waited,) = waits
    assert 0 < waited <= 1 if code == "refused" else 7 < waited < 8


async def test_what_was_deleted_and_not_told_is_deleted(client: Make, server: FakeServer) -> None:
    """The first answer was lost; without a first try it is a wrong id."""
    server.answers = [httpx.ReadError("reset"), refused(404, "NOT_FOUND")]
    await client().call("documents.delete", ID)
    server.answers = [refused(404, "NOT_FOUND")]
    with pytest.raises(errors.NotFound):
        await client().call("documents.delete", ID)


NOT_BEGUN: dict[str, Callable[[], Answer]] = {
    "not connected": lambda: httpx.ConnectError("refused"),
    "too much": lambda: refused(429, "RATE_LIMITED", Retry_After="1"),
    "full": lambda: refused(503, "OVERLOADED", Retry_After="1"),
    "no policy": lambda: refused(503, "POLICY_UNAVAILABLE", Retry_After="1"),
}
MAYBE_DONE: dict[str, Callable[[], Answer]] = {
    **LOST,
    "half done": lambda: refused(503, "STORAGE_UNAVAILABLE", Retry_After="1"),
}


@pytest.mark.parametrize("how", {**NOT_BEGUN, **MAYBE_DONE})
async def test_what_was_not_there_is_deleted_only_if_an_earlier_try_may_have_done_it(
    how: str, client: Make, server: FakeServer
) -> None:
    """A try that was not let in has deleted nothing: then it is a wrong id."""
    server.answers = [{**NOT_BEGUN, **MAYBE_DONE}[how](), refused(404, "NOT_FOUND")]
    if how in MAYBE_DONE:
        await client().call("documents.delete", ID)
        return
    with pytest.raises(errors.NotFound):
        await client().call("documents.delete", ID)


@pytest.mark.parametrize("wrong", ["", ".", "..", "\ud800", "Ⅷ"])
@pytest.mark.parametrize(
    "method",
    [
        *(f"documents.{name}" for name in ("get", "delete", "watch", "content_url")),
        *("keys.revoke", "keys.rotate"),
    ],
)
async def test_what_can_be_no_id_is_not_sent(
    method: str, wrong: str, client: Make, server: FakeServer
) -> None:
    """As a step of the path it would lead to something else."""
    with pytest.raises(ValueError, match="is no id"):
        await client().call(method, wrong)
    assert server.requests == []


async def test_an_id_is_one_step_of_the_path(client: Make, server: FakeServer) -> None:
    """Whatever it holds."""
    server.answers = [refused(404, "NOT_FOUND")]
    with pytest.raises(errors.NotFound):
        await client().call("documents.get", "../keys?x#y%2f")
    assert server.requests[0].url.raw_path == b"/api/v1/documents/..%2Fkeys%3Fx%23y%252f"


async def test_a_certificate_that_is_not_trusted_is_told_at_once(
    client: Make, server: FakeServer
) -> None:
    """It will not be in a second."""
    refusal = httpx.ConnectError("certificate verify failed")
    refusal.__cause__ = ssl.SSLCertVerificationError(1, "self-signed certificate")
    server.answers = [refusal]
    with pytest.raises(errors.NotConnected, match="certificate"):
        await client().call("me")
    assert len(server.requests) == 1


async def test_it_ends_at_some_time(client: Make, server: FakeServer, waits: list[float]) -> None:
    """With the last error, and waits that grow."""
    server.usual = lambda request: httpx.ConnectError("refused")
    with pytest.raises(errors.NotConnected):
        await client(retries=Retries(times=3)).call("me")
    assert len(server.requests) == 4
    assert waits[0] < 0.6 < waits[2] <= 2.0


@pytest.mark.parametrize("code", ["QUOTA_EXCEEDED", "RATE_LIMITED"])
async def test_a_long_wait_is_the_callers(code: str, client: Make, server: FakeServer) -> None:
    """A quota may be spent until tomorrow: who asks is told, and when."""
    server.answers = [refused(429, code, Retry_After="3480")]
    with pytest.raises(errors.RateLimited) as found:
        await client().call("ask", "tea?")
    assert type(found.value) is errors.BY_CODE[code]
    assert (found.value.retry_after, found.value.request_id) == (3480.0, "r-1")


async def test_a_server_without_redis_makes_it_without_a_key(
    client: Make, server: FakeServer
) -> None:
    """Nothing was made; then it goes without, and is not repeated blindly."""
    away = refused(503, "SHARED_STATE_UNAVAILABLE", Retry_After="1")
    server.answers = [away, told(201, KEY)]
    assert (await client().call("keys.create", "n", ["query:run"])).key_id == "k"
    server.answers = [away, httpx.ReadError("reset")]
    with pytest.raises(errors.ConnectionBroken):
        await client().call("keys.create", "n", ["query:run"])
    assert ["idempotency-key" in one.headers for one in server.requests] == [True, False] * 2


async def test_the_same_request_under_way_is_waited_for(client: Make, server: FakeServer) -> None:
    """409 with Retry-After; without it, it was made before."""
    server.answers = [refused(409, "CONFLICT", Retry_After="2"), refused(409, "CONFLICT")]
    with pytest.raises(errors.Conflict):
        await client().call("keys.create", "n", ["query:run"], idempotency_key="mine")
    assert [one.headers["idempotency-key"] for one in server.requests] == ['"mine"'] * 2


# --- who asks -------------------------------------------------------------------------------------


def token(text: str, seconds: int = 86_400) -> httpx.Response:
    about = {"access_token": text, "token_type": "Bearer", "expires_in": seconds}
    return told(200, {**about, "expires_at": "2027-01-01T00:00:00Z"})


async def test_a_token_is_got_when_it_is_needed_and_again_when_it_was_ended(
    client: Make, server: FakeServer
) -> None:
    """Once, and not for ever: what is refused with a new token stays refused."""
    asking = client(username="alice", password="secret")
    server.answers = [token("one"), told(200, ME), told(200, ME)]
    await asking.call("me")
    await asking.call("me")
    server.answers = [refused(401, "TOKEN_EXPIRED"), token("two"), told(200, ME)]
    await asking.call("me")
    server.answers = [
        refused(401, "UNAUTHENTICATED"),
        token("three"),
        refused(401, "UNAUTHENTICATED"),
    ]
    with pytest.raises(errors.Unauthenticated):
        await asking.call("me")
    seen = [
        one.headers.get("authorization", "-").removeprefix("Bearer ") for one in server.requests
    ]
    assert seen == ["-", "one", "one", "one", "-", "two", "two", "-", "three"]


async def test_a_wrong_password_is_told_at_once(client: Make, server: FakeServer) -> None:
    """Each attempt counts against the account."""
    server.usual = lambda request: refused(401, "INVALID_CREDENTIALS")
    with pytest.raises(errors.InvalidCredentials):
        await client(username="alice", password="wrong").call("me")
    assert len(server.requests) == 1


async def test_a_token_that_is_about_to_end_is_replaced(client: Make, server: FakeServer) -> None:
    """So that it does not end on the way."""
    asking = client(username="alice", password="secret")
    now = 0.0
    asking.of._core.session.now = lambda: now
    server.answers = [token("one", 600), told(200, ME), token("two", 600), told(200, ME)]
    await asking.call("me")
    now = 571.0
    await asking.call("me")
    assert server.requests[-1].headers["authorization"] == "Bearer two"


async def test_a_key_is_not_logged_in_for(client: Make, server: FakeServer) -> None:
    """There is nothing to log in with."""
    server.usual = lambda request: refused(401, "TOKEN_EXPIRED")
    with pytest.raises(errors.TokenExpired):
        await client().call("me")
    assert len(server.requests) == 1


async def test_logging_out_forgets_the_password(client: Make, server: FakeServer) -> None:
    """Or the next call would log in again."""
    asking = client(username="alice", password="secret")
    server.answers = [token("one"), told(204), refused(401, "UNAUTHENTICATED")]
    await asking.call("logout", all_tokens=True)
    assert server.requests[-1].url.query == b"all=true"
    with pytest.raises(errors.Unauthenticated):
        await asking.call("me")
    assert "authorization" not in server.requests[-1].headers


async def test_no_cookie_is_kept_and_no_redirect_followed(client: Make, server: FakeServer) -> None:
    """Neither may carry what one answer said into another request."""
    asking = client()
    server.answers = [told(200, ME, Set_Cookie="a=b; Path=/"), told(302, Location="http://else/")]
    await asking.call("me")
    with pytest.raises(errors.ProtocolError):
        await asking.call("me")
    assert "cookie" not in server.requests[1].headers
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("method", "given"),
    [("documents.delete", ID), ("keys.revoke", "k"), ("logout", None), ("me", None)],
)
async def test_a_redirect_is_no_answer(
    method: str, given: str | None, client: Make, server: FakeServer
) -> None:
    """A proxy that wants somebody to sign in has deleted nothing."""
    server.answers = [told(302, Location="https://login.example.com/")]
    with pytest.raises(errors.ProtocolError, match="leads elsewhere"):
        await client().call(method, *([] if given is None else [given]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": "a", "token": "b"},
        {"api_key": "a", "username": "u", "password": "p"},
        {"username": "u"},
        {"api_key": "a\r\nX: y"},
        {"token": ""},
    ],
)
async def test_two_credentials_or_half_of_one_are_refused(
    wrong: dict[str, str], client: Make
) -> None:
    """Before anything is sent, and without showing it."""
    with pytest.raises(ValueError, match=r"Give one|needs a|one word"):
        client(**wrong)
