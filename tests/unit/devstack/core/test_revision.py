"""``GET /v1/revision`` of the reference core, and the header that names it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from devstack.core.query import ExtractiveWriter
from tests.unit.devstack.core.conftest import ALICE, State
from tests.unit.devstack.core.test_http_service import HEADERS, Client, serving

NAME = "X-KB-Corpus-Revision"


@pytest.fixture
async def client(state: State) -> AsyncIterator[Client]:
    async with serving(state, ExtractiveWriter()) as client:
        yield client


async def revision(client: Client, **headers: str) -> str:
    async with client.get("/v1/revision", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        told: dict[str, str] = await answer.json()
    assert set(told) == {"revision"}
    assert answer.headers[NAME] == told["revision"]
    return told["revision"]


async def test_every_answer_that_depends_on_documents_names_their_revision(
    state: State, client: Client
) -> None:
    """Questions, searches, lists and records; a deletion names the one behind it."""
    document = state.add(ALICE, "Green tea is steeped.")
    now = await revision(client)
    calls: list[tuple[str, str, Any]] = [
        ("POST", "/v1/query", {"query": "tea"}),
        ("POST", "/v1/search", {"query": "tea"}),
        ("GET", "/v1/documents", None),
        ("GET", f"/v1/documents/{document}", None),
    ]
    for method, path, body in calls:
        async with client.request(method, path, json=body) as answer:
            assert answer.headers[NAME] == now
    async with client.delete(f"/v1/documents/{document}") as answer:
        assert answer.headers[NAME] != now


async def test_the_revision_is_the_owners(state: State, client: Client) -> None:
    """Others' documents change nothing of it; without the token nobody is told."""
    before = await revision(client, **{"X-KB-Subject": "bob"})
    state.add(ALICE, "Green tea.")
    assert await revision(client, **{"X-KB-Subject": "bob"}) == before
    async with client.get("/v1/revision", headers={"Authorization": "Bearer wrong"}) as answer:
        assert (answer.status, NAME in answer.headers) == (401, False)
    assert HEADERS["X-KB-Subject"] == "alice"
