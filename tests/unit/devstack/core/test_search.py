"""``POST /v1/search`` of the reference core: passages without an answer, the owner's alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from devstack.core.query import ExtractiveWriter
from tests.unit.devstack.core.conftest import ALICE, ALICE_ELSEWHERE, BOB, State
from tests.unit.devstack.core.test_http_service import HEADERS, Client, ask, serving

TEA = "Green tea is steeped for three minutes."
COFFEE = "Coffee is brewed for four minutes."


@pytest.fixture
async def client(state: State) -> AsyncIterator[Client]:
    async with serving(state, ExtractiveWriter()) as client:
        yield client


async def search(client: Client, query: str, **more: Any) -> list[dict[str, Any]]:
    body = {"query": query, **more}
    async with client.post("/v1/search", json=body) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
        found = await answer.json()
    assert set(found) == {"passages"}
    return list(found["passages"])


async def test_a_search_finds_what_a_question_draws_on(state: State, client: Client) -> None:
    """The same passages in the same order, with document, page, score and text."""
    document = state.add(ALICE, TEA, COFFEE, filename="drinks.pdf")
    passages = await search(client, "How long is green tea steeped?")
    answer = dict(await ask(client, "How long is green tea steeped?"))
    assert passages == answer["sources"]
    assert passages[0] == {
        "document_id": document,
        "filename": "drinks.pdf",
        "chunk_id": f"{document}:0",
        "score": passages[0]["score"],
        "text": TEA,
        "page": 1,
    }


async def test_a_search_is_the_owners_and_the_tenants(state: State, client: Client) -> None:
    """Neither by its words nor by its id is a document of somebody else found."""
    theirs = state.add(BOB, TEA)
    elsewhere = state.add(ALICE_ELSEWHERE, TEA)
    assert await search(client, "green tea") == []
    assert await search(client, "green tea", document_ids=[theirs, elsewhere]) == []
    mine, other = state.add(ALICE, TEA), state.add(ALICE, COFFEE)
    assert [one["document_id"] for one in await search(client, "minutes tea")] == [mine, other]
    only = await search(client, "minutes tea", document_ids=[other, theirs])
    assert [one["document_id"] for one in only] == [other]
    assert await search(client, "minutes tea", document_ids=[]) == []


async def test_a_search_gives_as_many_as_were_asked_for(state: State, client: Client) -> None:
    """At most ``top_k``, the best first; six where nothing is said."""
    state.add(ALICE, *(f"Tea number {n} of the tasting." for n in range(10)))
    assert len(await search(client, "tea tasting")) == 6
    found = await search(client, "tea tasting", top_k=3)
    assert len(found) == 3
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": " "}, "query"),
        ({"query": "a", "top_k": 0}, "top_k"),
        ({"query": "a", "document_ids": "x"}, "document_ids"),
        ({"query": "a", "conversation_id": "c"}, "conversation_id"),
    ],
    ids=str,
)
async def test_a_wrong_search_is_told_field_by_field(
    client: Client, body: dict[str, Any], field: str
) -> None:
    """A search belongs to no conversation, so that it has none in its fields."""
    async with client.post("/v1/search", json=body) as answer:
        assert answer.status == 400
        error = (await answer.json())["error"]
    assert (error["code"], list(error["details"]["fields"])) == ("VALIDATION_ERROR", [field])


async def test_a_search_needs_the_token(client: Client) -> None:
    """As every call but health does."""
    headers = {**HEADERS, "Authorization": "Bearer wrong"}
    async with client.post("/v1/search", json={"query": "a"}, headers=headers) as answer:
        assert answer.status == 401


async def test_a_record_tells_the_version_that_was_read(state: State, client: Client) -> None:
    """Whoever gives the file out gives that version; none where the bucket keeps no versions."""
    document, other = state.add(ALICE, TEA), state.add(ALICE, COFFEE)
    state.registry.pin(ALICE, document, "version-1")
    async with client.get(f"/v1/documents/{document}") as answer:
        assert (await answer.json())["version_id"] == "version-1"
    async with client.get("/v1/documents") as answer:
        records = (await answer.json())["documents"]
    assert {one["document_id"]: one["version_id"] for one in records} == {
        document: "version-1",
        other: None,
    }
