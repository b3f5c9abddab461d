"""No user reaches another's documents, keys or words, in his tenant or beyond."""

from __future__ import annotations

import json

import pytest

from .conftest import People
from .people import Person

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]


async def try_everything(who: Person, document_id: str, key_id: str) -> dict[str, int]:
    """Each route that takes an id, asked with somebody else's."""
    document = f"/api/v1/documents/{document_id}"
    calls = {
        "read": who.http.get(document),
        "delete": who.http.delete(document),
        "complete": who.http.post(f"{document}/complete"),
        "parts": who.http.post(f"{document}/parts", json={"parts": [1]}),
        "revoke": who.http.delete(f"/api/v1/keys/{key_id}"),
        "rotate": who.http.post(f"/api/v1/keys/{key_id}/rotate"),
    }
    return {name: (await call).status_code for name, call in calls.items()}


async def test_anothers_ids_name_nothing(people: People) -> None:
    """404 on every id route, for a colleague, a stranger and their admins without ``?owner=``."""
    alice = await people("alice")
    document_id = await alice.add(b"Alice keeps an axolotl.", "axolotl.txt")
    waiting = (await alice.announce(b"later", "later.txt"))["document_id"]
    made = await alice.http.post(
        "/api/v1/keys", json={"name": "mine", "scopes": ["documents:list"]}
    )
    key_id = made.json()["key_id"]
    for name in ("bob", "carol", "root", "boss"):
        other = await people(name)
        for found in (document_id, waiting):
            statuses = await try_everything(other, found, key_id)
            assert set(statuses.values()) == {404}, (name, statuses)
    assert (await alice.read(document_id)).json()["status"] == "indexed"
    assert (await alice.read(waiting)).json()["status"] == "awaiting_upload"


async def test_owner_is_for_admins_of_the_tenant_only(people: People) -> None:
    """Whoever is no admin gets the same 403 whatever he names; an admin stays in his tenant."""
    alice, bob, carol = [await people(name) for name in ("alice", "bob", "carol")]
    root, boss = await people("root"), await people("boss")
    document_id = await alice.add(b"Alice feeds the okapi.", "okapi.txt")
    document = f"/api/v1/documents/{document_id}"
    for name in ("alice", "bob", "nobody-at-all"):
        for who in (bob, carol):
            for path in ("/api/v1/documents", document):
                answer = await who.http.get(path, params={"owner": name})
                assert answer.status_code == 403
                assert answer.json()["error"]["code"] == "FORBIDDEN"
    assert (await root.http.get(document, params={"owner": "alice"})).status_code == 200
    assert (await root.http.get(document, params={"owner": "bob"})).status_code == 404
    assert (await boss.http.get(document, params={"owner": "alice"})).status_code == 404
    listed = await boss.http.get("/api/v1/documents", params={"owner": "alice"})
    assert listed.status_code == 200
    assert listed.json()["documents"] == []


async def test_no_answer_draws_on_anothers_documents(people: People) -> None:
    """Neither the index nor ``document_ids`` crosses the border (each door: ``test_doors.py``)."""
    alice, bob, carol = [await people(name) for name in ("alice", "bob", "carol")]
    document_id = await alice.add(b"The narwhal password is tusk-of-alice-7781.", "narwhal.txt")
    question = "What is the narwhal password?"
    assert b"tusk-of-alice-7781" in (await alice.ask(question)).raw
    for who in (bob, carol):
        for more in ({}, {"document_ids": [document_id]}):
            answer = await who.ask(question, **more)
            assert answer.status == 200
            assert b"tusk-of-alice-7781" not in answer.raw
            assert document_id.encode() not in answer.raw
        listing = json.dumps((await who.http.get("/api/v1/documents")).json())
        assert document_id not in listing


async def test_a_reader_reads_and_does_not_write(people: People) -> None:
    """The role's actions are all he has."""
    rita = await people("rita")
    assert (await rita.http.get("/api/v1/documents")).status_code == 200
    refused = await rita.http.post(
        "/api/v1/documents", json={"filename": "a.txt", "content_type": "text/plain", "size": 1}
    )
    assert refused.status_code == 403
    assert refused.json()["error"]["details"]["decision_id"]
