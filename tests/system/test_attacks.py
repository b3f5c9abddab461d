"""Attempts on a whole running gateway that once worked on some gateway, or nearly did on this."""

from __future__ import annotations

import asyncio
import json
import secrets
from urllib.parse import urlsplit

import httpx
import pytest

from devstack.parts import Part
from devstack.stack import Stack

from .conftest import People
from .people import PASSWORD, Person, until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

TEXT = b"Herons nest in tall trees by the river. They eat fish and frogs.\n" * 20


async def test_no_process_writes_down_a_secret(stack: Stack, people: People) -> None:
    """Passwords, tokens, keys, questions and signatures are in no line of any process's output."""
    alice = await people("alice")
    token = alice.http.headers["Authorization"].removeprefix("Bearer ")
    made = await alice.call("POST", "/api/v1/keys", json={"name": "k", "scopes": ["auth:me"]})
    key = made.json()["secret"]
    guess, question = secrets.token_hex(16), f"heron {secrets.token_hex(16)}"
    wrong = {"username": "alice", "password": guess}
    ticket = await alice.announce(TEXT, "herons.txt")
    fields = ticket["upload"]["fields"]
    async with httpx.AsyncClient(base_url=stack.base_url, timeout=30, trust_env=False) as nobody:
        await nobody.post("/auth/login", json=wrong)
        await nobody.get("/api/v1/auth/me", headers={"X-API-Key": key})
        await nobody.get("/api/v1/auth/me", headers={"X-API-Key": key[:-1] + "_"})
        await nobody.get(f"/api/v1/auth/me?access_token={token}")
    await alice.ask(question)
    last = await alice.http.get("/api/v1/auth/me")

    async def last_line_is_written() -> bool:
        return last.headers["X-Request-ID"] in _said(stack, "gateway")

    await until(last_line_is_written)
    signature = next(value for name, value in fields.items() if name.lower().endswith("signature"))
    kept = [PASSWORD, guess, question, token, token.rsplit(".", 1)[1], key, key[-40:], signature]
    for part in [one.name for one in stack.table() if one.kind == "real"]:
        said = _said(stack, part)
        assert not [secret for secret in kept if secret in said], part


def _said(stack: Stack, part: Part) -> str:
    return "\n".join(stack.child(part).output)


async def test_anothers_cursor_leads_nowhere(people: People) -> None:
    """A cursor is a place in a list of one's own: somebody else's shows nothing of his."""
    alice, bob = await people("alice"), await people("bob")
    mine = [(await alice.announce(TEXT, f"a{n}.txt"))["document_id"] for n in range(3)]
    page = await alice.call("GET", "/api/v1/documents?limit=1")
    cursor = page.json()["next_cursor"]
    assert cursor is not None
    seen = await bob.call("GET", f"/api/v1/documents?limit=100&cursor={cursor}")
    assert seen.status_code == 200
    assert not {document["document_id"] for document in seen.json()["documents"]} & set(mine)


async def test_completed_and_deleted_at_once_is_gone_for_good(people: People) -> None:
    """Whichever comes first, nothing fails, and no worker brings the document back."""
    alice = await people("alice")

    async def race() -> str:
        ticket = await alice.announce(TEXT, "race.txt")
        await alice.upload(ticket, TEXT)
        document_id = str(ticket["document_id"])
        answers = await asyncio.gather(
            alice.complete(document_id),
            alice.call("DELETE", f"/api/v1/documents/{document_id}"),
            alice.complete(document_id),
            alice.call("DELETE", f"/api/v1/documents/{document_id}"),
        )
        assert {answer.status_code for answer in answers} <= {202, 204, 404, 409}
        assert 204 in {answers[1].status_code, answers[3].status_code}
        return document_id

    gone = await asyncio.gather(*(race() for _ in range(5)))
    # Indexed later than these, so that the worker has been through with them.
    alive = await alice.add(TEXT, "after.txt")
    assert [(await alice.read(document_id)).status_code for document_id in gone] == [404] * 5
    answer = await alice.ask("Where do herons nest?", top_k=50)
    told = {source["document_id"] for sources in answer.named("sources") for source in sources}
    assert alive in told
    assert not told & set(gone)


async def test_clients_that_vanish_take_nothing_with_them(stack: Stack, people: People) -> None:
    """Questions cut at every stage by the hundred: those who stay get their answers."""
    alice = await people("alice")
    address = urlsplit(stack.base_url)
    body = json.dumps({"query": "herons", "top_k": 50}).encode()
    head = (
        f"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: {alice.http.headers['Authorization']}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()

    async def cut(stage: int) -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(head + (body[:-3] if stage == 0 else body))
        if stage > 1:
            await reader.read(1 if stage == 2 else 300)
        writer.transport.abort()

    for _ in range(25):
        await asyncio.gather(*(cut(n % 4) for n in range(48)))
    answers = await asyncio.gather(*(alice.ask("herons") for _ in range(10)))
    assert [answer.events[-1][0] for answer in answers] == ["done"] * 10


async def test_logins_nobody_waits_for_give_their_places_back(people: People) -> None:
    """Whoever floods the login and leaves keeps nobody out afterwards."""
    alice = await people("alice")
    base_url = str(alice.http.base_url)
    address = urlsplit(base_url)
    body = b'{"username":"alice","password":"not this one"}'
    head = f"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    data = (head + "Content-Type: application/json\r\n\r\n").encode() + body

    async def leave() -> None:
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(data)
        await writer.drain()
        writer.transport.abort()

    for _ in range(5):
        await asyncio.gather(*(leave() for _ in range(60)))

    async def can_log_in() -> bool:
        again = Person(base_url, "alice", "acme")
        credentials = {"username": "alice", "password": PASSWORD}
        try:
            return (await again.http.post("/auth/login", json=credentials)).status_code == 200
        finally:
            await again.aclose()

    await until(can_log_in)
    assert all(await asyncio.gather(*(can_log_in() for _ in range(8))))
