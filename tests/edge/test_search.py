"""``POST /api/v1/search``: what goes to the core, what comes back, and what failures look like."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from .conftest import Gateway
from .test_core_records import answers

ID = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
PASSAGE: dict[str, Any] = {
    "document_id": ID,
    "filename": "tea.pdf",
    "chunk_id": f"{ID}:4",
    "score": 7.25,
    "text": "Grüner Tee.",
    "page": 2,
    "section": ["Tea", "Green"],
}


async def search(gateway: Gateway, body: object, who: str = "alice") -> httpx.Response:
    return await gateway.client.post("/api/v1/search", json=body, headers=await gateway.bearer(who))


async def test_passages_come_as_the_core_gives_them(gateway: Gateway) -> None:
    """With document, page, section and score, and nothing that the contract does not have."""
    answers(gateway, {"passages": [PASSAGE | {"secret": "x"}], "more": 1})
    answer = await search(gateway, {"query": "tea", "top_k": 3, "document_ids": [ID]}, "bob")
    assert (answer.status_code, answer.json()) == (200, {"passages": [PASSAGE]})
    assert answer.headers["Content-Type"] == "application/json"
    headers = gateway.core.headers_of("POST /v1/search ")
    assert (headers["x-kb-tenant"], headers["x-kb-subject"]) == ("acme", "bob")
    assert headers["x-request-id"] == answer.headers["X-Request-ID"]
    sent = json.loads(gateway.core.bodies[-1])
    assert sent == {"query": "tea", "top_k": 3, "document_ids": [ID]}


async def test_what_was_not_asked_for_is_not_sent(gateway: Gateway) -> None:
    """How many there are then is the core's choice; none is an answer too."""
    answers(gateway, {"passages": []})
    answer = await search(gateway, {"query": "tea"})
    assert (answer.status_code, answer.json()) == (200, {"passages": []})
    assert json.loads(gateway.core.bodies[-1]) == {"query": "tea"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "x" * 8193}, "query"),
        ({"query": "x", "top_k": 51}, "top_k"),
        ({"query": "x", "document_ids": [ID.upper()]}, "document_ids[0]"),
        ({"query": "x", "conversation_id": ID}, "conversation_id"),
        ({"query": "x", "stream": False}, "stream"),
    ],
    ids=["nothing", "empty", "long", "too many", "spelling", "conversation", "stream"],
)
async def test_a_wrong_search_never_reaches_the_core(
    gateway: Gateway, body: dict[str, Any], field: str
) -> None:
    """The field is named. A search has no conversation and is no stream."""
    answer = await search(gateway, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert field in answer.json()["error"]["details"]["fields"]
    assert not any("/v1/" in head for head in gateway.core.heads)


async def test_a_core_without_a_search_is_501(gateway: Gateway) -> None:
    """The client learns that this knowledge base has none, and asks no more."""
    gateway.core.sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    answer = await search(gateway, {"query": "tea"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "NOT_IMPLEMENTED")
    assert "search" in answer.json()["error"]["message"]


async def test_passages_of_another_document_are_502(gateway: Gateway) -> None:
    """A core that mixes documents up is not believed, and nothing of it is shown."""
    answers(gateway, {"passages": [PASSAGE]})
    other = ID.replace("b", "c")
    answer = await search(gateway, {"query": "tea", "document_ids": [other]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "CORE_PROTOCOL_ERROR")
    assert "tea" not in answer.text


async def test_the_log_names_the_action_and_not_the_question(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for a question: who, what, the verdict; never what was looked for."""
    answers(gateway, {"passages": [PASSAGE]})
    await search(gateway, {"query": "unmentionable"})
    said = "".join(capsys.readouterr())
    assert "unmentionable" not in said
    assert "Grüner Tee" not in said
