"""The log can say who: of a login, of a refused one, of a refused key or token; and no secret."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from gateway.domain.api_keys import format_key, new_key_id, new_secret
from gateway.errors import Overloaded

from .conftest import Gateway
from .fakes import PASSWORD, PlainPasswords
from .forging import forge
from .stub_core import META, STREAM_HEAD, chunk
from .test_logs import CANARY, Lines, lines, uncached

__all__ = ["lines", "uncached"]


async def log_in(gateway: Gateway, username: str, password: str, request_id: str) -> httpx.Response:
    return await gateway.client.post(
        "/api/v1/auth/login",
        json={"username": username, "password": password},
        headers={"X-Request-ID": request_id},
    )


def who(line: dict[str, Any]) -> dict[str, Any]:
    names = ("principal", "account", "account_digest", "tenant", "auth", "credential_id")
    return {name: line[name] for name in names if name in line}


async def test_a_login_says_whom_it_let_in_and_with_which_token(
    gateway: Gateway, lines: Lines
) -> None:
    """What is done with the token later has the same id on its line."""
    token = (await log_in(gateway, "alice", PASSWORD, "in")).json()["access_token"]
    used = {"Authorization": f"Bearer {token}", "X-Request-ID": "used"}
    await gateway.client.get("/api/v1/auth/me", headers=used)
    line, later = await lines.request("in"), await lines.request("used")
    alice = {"principal": "alice", "tenant": "acme", "credential_id": claim(token, "jti")}
    assert who(line) == {**alice, "auth": "password"}
    assert who(later) == {**alice, "auth": "jwt"}


def claim(token: str, name: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))[name]


async def test_a_refused_login_tells_the_account_or_a_digest(
    gateway: Gateway, lines: Lines
) -> None:
    """Whatever was wrong. The digest tells the same text from another, and nothing else."""
    users = gateway.users.users
    users["bob"] = replace(users["bob"], disabled=True)
    tried = [("alice", "x"), ("bob", PASSWORD), (CANARY, "x"), (CANARY, "y"), ("other", "x")]
    for number, (username, password) in enumerate(tried):
        assert (await log_in(gateway, username, password, f"l{number}")).status_code == 401
    told = [who(await lines.request(f"l{number}")) for number in range(len(tried))]
    assert told[:2] == [{"account": name, "tenant": "acme"} for name in ("alice", "bob")]
    assert [one.keys() for one in told[2:]] == [{"account_digest"}] * 3
    assert told[2] == told[3] != told[4]
    assert hashlib.sha256(CANARY.encode()).hexdigest()[:24] not in lines.text
    assert CANARY not in lines.text


async def test_a_login_that_is_turned_away_tells_the_account_too(
    gateway: Gateway, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of logins is about somebody."""

    async def full(*_: object, **__: object) -> bool:
        raise Overloaded

    monkeypatch.setattr(PlainPasswords, "verify", full)
    assert (await log_in(gateway, "alice", "x", "full")).status_code == 503
    assert who(await lines.request("full")) == {"account": "alice", "tenant": "acme"}


async def made_key(gateway: Gateway, **told: object) -> tuple[str, str]:
    body = {"name": "k", "scopes": ["auth:me"], **told}
    bearer = await gateway.bearer()
    made = (await gateway.client.post("/api/v1/keys", json=body, headers=bearer)).json()
    return made["key_id"], made["secret"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (None, "user_removed"),
        ({"disabled": True}, "user_disabled"),
        ({"password_hash": "another"}, "superseded"),
    ],
)
async def test_a_stream_that_was_revoked_says_why(
    gateway: Gateway, lines: Lines, change: dict[str, Any] | None, reason: str
) -> None:
    """Also one that is answered as JSON; its 401 is counted by the same word."""
    gateway.core.holds(STREAM_HEAD, chunk(META))
    bearer = await gateway.bearer()
    streaming = await gateway.asking(credential=bearer, **{"X-Request-ID": "streamed"})
    question = {"query": "hi", "stream": False}
    headers = {**bearer, "X-Request-ID": "json"}
    asked = gateway.client.post("/api/v1/query", json=question, headers=headers)
    answer = asyncio.create_task(asked)
    while questions(gateway) < 2:  # noqa: ASYNC110  (nothing tells when a head was read)
        await asyncio.sleep(0.01)
    alice = gateway.users.users.pop("alice")
    if change is not None:
        gateway.users.users["alice"] = replace(alice, **change)
    gateway.users.revision += 1
    await streaming.rest()
    streaming.writer.close()
    assert (await answer).status_code == 401
    for request_id in ("streamed", "json"):
        line = await lines.request(request_id)
        assert (line["error"], line["auth_reason"]) == ("CREDENTIAL_REVOKED", reason)
        assert line["principal"] == "alice"


def questions(gateway: Gateway) -> int:
    """How many the core was asked."""
    return sum(head.startswith("POST /v1/query") for head in gateway.core.heads)


async def test_a_refused_key_is_told_by_its_id(gateway: Gateway, lines: Lines) -> None:
    """With its owner where the secret was right; a key that is misspelled has no id."""
    revoked, expired = await made_key(gateway), await made_key(gateway, expires_in=60)
    living_id, _ = await made_key(gateway)
    bearer = await gateway.bearer()
    await gateway.client.delete(f"/api/v1/keys/{revoked[0]}", headers=bearer)
    gateway.clock.now += 61
    unknown = format_key(new_key_id(), new_secret())
    guessed = format_key(living_id, new_secret())
    sent = {"r": revoked[1], "e": expired[1], "u": unknown, "g": guessed, "m": unknown[:-1] + "!"}
    for request_id, key in sent.items():
        headers = {"X-API-Key": key, "X-Request-ID": request_id}
        assert (await gateway.client.get("/api/v1/auth/me", headers=headers)).status_code == 401
    told = {request_id: who(await lines.request(request_id)) for request_id in sent}
    of_alice = {"account": "alice", "auth": "api_key"}
    assert told["r"] == {**of_alice, "credential_id": revoked[0]}
    assert told["e"] == {**of_alice, "credential_id": expired[0]}
    assert told["u"] == {"auth": "api_key", "credential_id": unknown[4:20]}
    assert told["g"] == {"auth": "api_key", "credential_id": living_id}
    assert told["m"] == {"auth": "api_key"}


FORGED = {"account": "alice", "auth": "jwt", "credential_id": "forged-1"}


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (forge(iat=1, nbf=1, exp=2), FORGED),
        (forge(tenant="other"), FORGED),
        (forge(sub="mallory"), {**FORGED, "account": "mallory"}),
        (forge(aud="elsewhere"), FORGED),
        (forge(iss="elsewhere"), FORGED),
        (forge(without="exp"), FORGED),
        (forge(roles="admin"), FORGED),
        (forge({"alg": "HS256", "jku": "http://evil.test"}), FORGED),
        (forge(sub=f"{CANARY} X"), {"auth": "jwt", "credential_id": "forged-1"}),
        (forge(jti=f"{CANARY} X"), {"account": "alice", "auth": "jwt"}),
        (forge(jti=["x"], sub=7), {"auth": "jwt"}),
        (forge(secret=b"y" * 40), {"auth": "jwt"}),
        (forge(secret=b"y" * 40, aud="elsewhere"), {"auth": "jwt"}),
        (forge({"alg": "HS512", "typ": "JWT"}, digest="sha512"), {"auth": "jwt"}),
        (forge({"alg": "none"}), {"auth": "jwt"}),
        ("a.b.c", {"auth": "jwt"}),
    ],
)
async def test_a_refused_token_is_told_only_where_its_signature_was_right(
    gateway: Gateway, lines: Lines, token: str, told: dict[str, str]
) -> None:
    """Anybody can write a name into a token that is not signed."""
    headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "refused"}
    answer = await gateway.client.get("/api/v1/auth/me", headers=headers)
    assert answer.status_code == 401
    assert who(await lines.request("refused")) == told
    assert CANARY not in lines.text


async def test_what_says_who_tells_no_secret(gateway: Gateway, lines: Lines) -> None:
    """Passwords in either field, keys and tokens good and refused: none is on any line."""
    key_id, key = await made_key(gateway)
    bearer = await gateway.bearer()
    token = bearer["Authorization"].removeprefix("Bearer ")
    await log_in(gateway, PASSWORD, PASSWORD, "a")
    await log_in(gateway, "alice", CANARY, "b")
    await log_in(gateway, key, CANARY, "c")
    await log_in(gateway, CANARY * 4, CANARY, "d")
    for secret in (key, token):
        for header in ("X-API-Key", "Authorization"):
            value = secret if header == "X-API-Key" else f"Bearer {secret}"
            await gateway.client.get("/api/v1/auth/me", headers={header: value})
            await gateway.client.get("/api/v1/auth/me", headers={header: value[:-1] + "A"})
    await gateway.client.delete(f"/api/v1/keys/{key_id}", headers=bearer)
    gateway.clock.now += 90_000
    for value in (key, token):
        await gateway.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {value}"})
    assert len(lines.requests()) >= 15
    parts = (key[21:], key[21:40], *token.split("."))
    for secret in (PASSWORD, CANARY, key, token, *parts):
        assert secret not in lines.text
