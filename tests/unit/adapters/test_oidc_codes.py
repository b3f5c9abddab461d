"""Codes at a provider's token endpoint, which does exactly what a test says, on a real socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import pytest

from gateway.adapters import oidc_codes
from gateway.adapters.oidc_codes import OidcCodes
from gateway.domain.provider_places import Places
from gateway.errors import GatewayError, Overloaded, SignInFailed, SignInUnavailable
from gateway.http_client.client import make_client
from gateway.http_client.transport import CoreTransport
from tests.unit.http_client.scripted import Peer, Script, Server, once, serve

VERIFIER = "v" * 43
REDIRECT = "https://kb.example.com/api/v1/auth/oidc/callback"


def answer(status: int, body: object, *more: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} -", f"Content-Length: {len(content)}", *more]
    return "\r\n".join([*head, "", ""]).encode() + content


@contextlib.asynccontextmanager
async def codes_at(
    script: Script, secret: str | None = "s:e c+ret", *, budget_s: float = 20.0
) -> AsyncIterator[tuple[OidcCodes, Server, Places]]:
    async with serve(script) as server:
        transport = CoreTransport(limit=4)
        codes = OidcCodes(
            make_client(transport), client_id="a b", client_secret=secret, budget_s=budget_s
        )
        try:
            yield codes, server, Places("", f"{server.url}/token", True, False)
        finally:
            await transport.aclose()


async def redeem(codes: OidcCodes, places: Places) -> str:
    return await codes.redeem(places, "a+code", verifier=VERIFIER, redirect_uri=REDIRECT)


def form_of(request: bytes) -> dict[str, str]:
    return dict(parse_qsl(request.partition(b"\r\n\r\n")[2].decode(), strict_parsing=True))


FORM = {
    "grant_type": "authorization_code",
    "code": "a+code",
    "redirect_uri": REDIRECT,
    "code_verifier": VERIFIER,
}
GOOD = answer(200, {"id_token": "a.b.c", "access_token": "x"})


async def test_a_code_is_redeemed_by_the_client_with_its_verifier() -> None:
    """RFC 6749, 2.3.1: Basic over what a form would make of id and secret."""
    async with codes_at(once(GOOD)) as (codes, server, places):
        assert await redeem(codes, places) == "a.b.c"
    head = server.requests[0].partition(b"\r\n\r\n")[0].decode().lower()
    basic = base64.b64encode(b"a+b:s%3Ae+c%2Bret").decode()
    assert f"authorization: basic {basic.lower()}" in head
    assert "content-type: application/x-www-form-urlencoded" in head
    assert form_of(server.requests[0]) == FORM


async def test_a_secret_goes_into_the_body_where_the_provider_takes_it_there_alone() -> None:
    async with codes_at(once(GOOD)) as (codes, server, places):
        await redeem(codes, Places("", places.token, True, secret_in_body=True))
    assert b"authorization:" not in server.requests[0].lower()
    told = {"client_id": "a b", "client_secret": "s:e c+ret"}
    assert form_of(server.requests[0]) == FORM | told


async def test_a_public_client_says_who_it_is() -> None:
    async with codes_at(once(GOOD), None) as (codes, server, places):
        await redeem(codes, places)
    assert form_of(server.requests[0]) == FORM | {"client_id": "a b"}


async def test_a_code_that_is_not_taken_is_the_browsers_affair() -> None:
    """Used, old, of another client, or with another verifier."""
    refusal = answer(400, {"error": "invalid_grant", "error_description": "<b>used</b>"})
    async with codes_at(once(refusal)) as (codes, _, places):
        with pytest.raises(SignInFailed) as caught:
            await redeem(codes, places)
    assert caught.value.reason == "sign_in_code"
    assert "used" not in caught.value.message


OTHERS = {
    "not a client": answer(401, {"error": "invalid_client"}),
    "an error of no name": answer(400, {"error": {"a": 1}}),
    "a fault": answer(500, b"<html>"),
    "a redirect": answer(302, b"", "Location: http://127.0.0.1:1/"),
    "no token": answer(200, {"access_token": "x"}),
    "no text": answer(200, {"id_token": 1}),
    "no object": answer(200, [1]),
    "no JSON": answer(200, b"\xff\xfe"),
    "deep JSON": answer(200, b"[" * 60_000),
    "too long": answer(200, b" " * (oidc_codes.ANSWER_LIMIT_BYTES + 1)),
    "compressed": answer(200, b"x", "Content-Encoding: gzip"),
    "nothing": b"",
    "nonsense": b"SSH-2.0-OpenSSH_9\r\n\r\n",
}


@pytest.mark.parametrize("told", OTHERS)
async def test_everything_else_is_the_providers_fault(told: str) -> None:
    """And is asked once: a code that is sent twice may end what it gave."""
    async with codes_at(once(OTHERS[told])) as (codes, server, places):
        with pytest.raises(SignInUnavailable) as caught:
            await redeem(codes, places)
        assert server.connections == 1
    assert caught.value.__cause__ is not None
    assert "invalid_client" not in caught.value.message


async def test_a_provider_that_is_not_there_is_unavailable() -> None:
    async with codes_at(once(b"")) as (codes, _, _places):
        with pytest.raises(SignInUnavailable):
            await redeem(codes, Places("", "http://127.0.0.1:1/token", True, False))


async def test_one_that_hangs_is_not_waited_for() -> None:
    """Longer than the budget, and it sees that it was left."""
    left = asyncio.Event()

    async def silent(peer: Peer, _: Server) -> None:
        await peer.request()
        await peer.left()
        left.set()

    # On a busy machine it takes a while until the request is there.
    async with codes_at(silent, budget_s=3.0) as (codes, _, places):
        with pytest.raises(SignInUnavailable):
            await redeem(codes, places)
        async with asyncio.timeout(30):
            await left.wait()


async def test_so_many_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever began a sign-in can send codes: they do not pile up behind one that hangs."""
    monkeypatch.setattr(oidc_codes, "AT_ONCE", 3)

    async def silent(peer: Peer, server: Server) -> None:
        server.requests.append(await peer.request())
        await server.note()
        await peer.left()

    async with codes_at(silent) as (codes, server, places):
        under_way = [asyncio.create_task(redeem(codes, places)) for _ in range(3)]
        await server.until(lambda: len(server.requests) == 3)
        with pytest.raises(Overloaded):
            await redeem(codes, places)
        for task in under_way:
            task.cancel()
        ended: list[str | BaseException] = await asyncio.gather(*under_way, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)
    async with codes_at(once(GOOD)) as (codes, _, places):
        assert not isinstance(await redeem(codes, places), GatewayError)
