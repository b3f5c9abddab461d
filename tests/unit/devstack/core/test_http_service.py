"""The core over a real socket: who gets in, what he sees, and the shape of every answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from devstack.core.answering.extract import Token
from devstack.core.errors import ModelTimeout
from devstack.core.http_service import HttpService
from devstack.core.index import Hit
from devstack.core.query import ExtractiveWriter, Part, Writer
from devstack.core.service import Service
from tests.unit.devstack.core.conftest import ALICE, BOB, State, uuid7

TOKEN = "the-core's-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "X-KB-Tenant": "acme", "X-KB-Subject": "alice"}
TEA = "Green tea is steeped for three minutes. Black tea takes five."

Client = TestClient[Any, Any]


@contextlib.asynccontextmanager
async def serving(state: State, writer: Writer) -> AsyncIterator[Client]:
    service = HttpService(TOKEN, Service(state.registry, state.reader, state.builder, writer))
    async with TestClient(TestServer(service.app()), headers=HEADERS) as client:
        yield client


@pytest.fixture
async def client(state: State) -> AsyncIterator[Client]:
    async with serving(state, ExtractiveWriter()) as client:
        yield client


async def ask(client: Client, query: str, **more: Any) -> list[tuple[str, Any]]:
    headers = more.pop("headers", None)
    async with client.post("/v1/query", json={"query": query, **more}, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        return list(events(await answer.read()))


def events(raw: bytes) -> Iterator[tuple[str, Any]]:
    """Name and data of each event; any other line is a fault."""
    assert raw.endswith(b"\n\n")
    for block in raw[:-2].decode().split("\n\n"):
        name, data = block.split("\n")
        assert name.startswith("event: ")
        assert data.startswith("data: ")
        yield name[7:], json.loads(data[6:])


async def test_health_needs_no_token(client: Client) -> None:
    """Whoever asks learns that the core is alive, and nothing else."""
    async with client.get("/healthz", headers={"Authorization": ""}) as answer:
        assert answer.status == 200
        body = await answer.json()
    assert body["status"] == "ok"
    assert set(body) == {"status", "version"}


async def test_health_refuses_a_wrong_token(client: Client) -> None:
    """A gateway set up with another token learns it before its first question."""
    async with client.get("/healthz", headers={"Authorization": "Bearer wrong"}) as answer:
        assert answer.status == 401


@pytest.mark.parametrize("given", ["", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ü"])
@pytest.mark.parametrize("path", ["/v1/documents", "/v1/query", "/nowhere"])
async def test_call_without_the_token_is_refused(client: Client, given: str, path: str) -> None:
    """Nothing but health is answered, not even that a path does not exist."""
    async with client.get(path, headers={"Authorization": given}) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (await answer.json())["error"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("name", ["", "Alice", "../bob", "a" * 65, "-a", "a b"])
@pytest.mark.parametrize("header", ["X-KB-Tenant", "X-KB-Subject"])
async def test_malformed_identity_is_refused(client: Client, header: str, name: str) -> None:
    """Names become parts of paths and keys, so only the contract's pattern passes."""
    async with client.get("/v1/documents", headers={header: name}) as answer:
        assert answer.status == 400
        error = (await answer.json())["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert header in error["details"]["fields"]


async def test_answer_streams_the_contracts_events_in_order(state: State, client: Client) -> None:
    """meta, sources, the tokens with their citations, usage, done."""
    document = state.add(ALICE, "Nothing of interest.", TEA, filename="tea.pdf")
    answer = await ask(client, "How long is green tea steeped?")
    names = [name for name, _ in answer]
    assert names[:2] == ["meta", "sources"]
    assert set(names[2:-2]) == {"token", "citation"}
    assert names[-2:] == ["usage", "done"]
    data = dict(answer)
    assert set(data["meta"]) == {"query_id", "model"}
    (source,) = data["sources"]
    assert source == {
        "document_id": document,
        "filename": "tea.pdf",
        "chunk_id": f"{document}:1",
        "score": source["score"],
        "text": TEA,
        "page": 2,
    }
    text = "".join(part["text"] for name, part in answer if name == "token")
    first = next(part for name, part in answer if name == "citation")
    assert text[first["start"] : first["end"]] == "Green tea is steeped for three minutes."
    assert data["usage"]["completion_tokens"] == names.count("token")
    assert data["done"] == {"finish_reason": "stop"}


async def test_summary_without_a_model_is_an_outline_with_citations(
    state: State, client: Client
) -> None:
    """What the core cannot do is said, and what is in the document is shown; others' is not."""
    document = state.add(ALICE, TEA)
    state.add(BOB, "Bread is white.")
    for query in ("Summarise this", "What is this document about?"):
        data = dict(await ask(client, query))
        assert [source["document_id"] for source in data["sources"]] == [document]
        assert data["done"] == {"finish_reason": "stop"}
        assert data["citation"]["source"] == 0
    assert dict(await ask(client, "Summarise this", document_ids=[]))["sources"] == []


async def test_question_nothing_is_found_for_says_so(state: State, client: Client) -> None:
    """No sources, a plain sentence, and a finish reason of its own."""
    state.add(BOB, TEA)
    for query in ("green tea", "quantum", "the", "?!", "\U0001f375"):
        answer = await ask(client, query)
        data = dict(answer)
        assert data["sources"] == []
        assert data["done"] == {"finish_reason": "no_sources"}
        assert "citation" not in data
        text = "".join(part["text"] for name, part in answer if name == "token")
        assert text == "There is no document yet that I could search."
    state.add(ALICE, TEA)
    answer = await ask(client, "What is quantum chromodynamics?")
    text = "".join(part["text"] for name, part in answer if name == "token")
    assert text == "I searched 1 document and found nothing about “quantum chromodynamics”."


async def test_document_ids_and_top_k_narrow_the_sources(state: State, client: Client) -> None:
    """Foreign and unknown ids name nothing."""
    mine = [state.add(ALICE, f"{TEA} Number {n}.") for n in range(3)]
    foreign = state.add(BOB, TEA)
    one = dict(await ask(client, "tea", document_ids=[mine[1], foreign, "nonsense"]))
    assert [source["document_id"] for source in one["sources"]] == [mine[1]]
    assert len(dict(await ask(client, "tea", top_k=2))["sources"]) == 2
    assert dict(await ask(client, "tea", document_ids=[foreign]))["sources"] == []


async def test_follow_up_reuses_the_questions_terms_for_its_owner_only(
    state: State, client: Client
) -> None:
    """A conversation of the same name belongs to somebody else for everybody else."""
    state.add(ALICE, TEA)
    state.add(BOB, TEA)
    assert dict(await ask(client, "green tea?", conversation_id="c"))["sources"]
    assert dict(await ask(client, "why is that?", conversation_id="c"))["sources"]
    bob = {"X-KB-Subject": "bob"}
    follow_up = await ask(client, "why is that?", conversation_id="c", headers=bob)
    assert dict(follow_up)["sources"] == []


async def test_it_is_what_earlier_messages_speak_of(state: State, client: Client) -> None:
    """A question that leaves out what it is about takes it from the questions before it."""
    state.add(ALICE, TEA, "The kettle is cleaned with vinegar in an hour.")
    before = [
        {"role": "system", "content": "Be brief. Speak of the kettle."},
        {"role": "user", "content": "Which kind of green tea is there?"},
        {"role": "assistant", "content": "A kettle is cleaned with vinegar."},
    ]
    answer = dict(await ask(client, "How long is it steeped?", messages=before))
    assert [source["text"] for source in answer["sources"]] == [TEA]
    alone = dict(await ask(client, "Why is that?", messages=before[:1]))
    assert alone["sources"] == []


BAD_BODIES = {
    "not json": b"{",
    "not utf-8": b'{"query": "\xff"}',
    "array": b"[]",
    "no query": b"{}",
    "null query": b'{"query": null}',
    "blank query": b'{"query": "  "}',
    "long query": json.dumps({"query": "x" * 8193}).encode(),
    "half a surrogate pair": rb'{"query": "\ud800"}',
    "number as query": b'{"query": 1}',
    "unknown field": b'{"query": "x", "stream": true}',
    "top_k true": b'{"query": "x", "top_k": true}',
    "top_k 0": b'{"query": "x", "top_k": 0}',
    "top_k 51": b'{"query": "x", "top_k": 51}',
    "top_k 1.5": b'{"query": "x", "top_k": 1.5}',
    "top_k NaN": b'{"query": "x", "top_k": NaN}',
    "ids no list": b'{"query": "x", "document_ids": "a"}',
    "ids of numbers": b'{"query": "x", "document_ids": [1]}',
    "101 ids": json.dumps({"query": "x", "document_ids": ["a"] * 101}).encode(),
    "conversation with a slash": b'{"query": "x", "conversation_id": "a/b"}',
    "messages no list": b'{"query": "x", "messages": {}}',
    "messages of texts": b'{"query": "x", "messages": ["a"]}',
    "a message without a role": b'{"query": "x", "messages": [{"content": "a"}]}',
    "a message of a tool": b'{"query": "x", "messages": [{"role": "tool", "content": "a"}]}',
    "a message with more": b'{"query":"x","messages":[{"role":"user","content":"a","name":"b"}]}',
    "a message without content": b'{"query":"x","messages":[{"role":"user","content":null}]}',
    "51 messages": json.dumps(
        {"query": "x", "messages": [{"role": "user", "content": "a"}] * 51}
    ).encode(),
    "messages of 64 KiB and a byte": json.dumps(
        {"query": "x", "messages": [{"role": "user", "content": "a" * (64 * 1024 + 1)}]}
    ).encode(),
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_bad_body_is_a_validation_error(client: Client, name: str) -> None:
    """Whatever is sent, the answer is a 400 in the one error shape."""
    async with client.post("/v1/query", data=BAD_BODIES[name]) as answer:
        assert answer.status == 400
        error = (await answer.json())["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert set(error) == {"code", "message", "details"}


async def test_oversized_body_is_refused(client: Client) -> None:
    """A body above the limit is not read to its end."""
    async with client.post("/v1/query", data=b" " * (300 * 1024)) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "PAYLOAD_TOO_LARGE"


async def test_unknown_path_and_method_have_the_one_error_shape(client: Client) -> None:
    """aiohttp's own refusals are no exception; the request id is told back."""
    async with client.get("/v1/nowhere", headers={"X-Request-ID": "r-1"}) as answer:
        assert answer.status == 404
        error = (await answer.json())["error"]
    assert (error["code"], error["details"]["request_id"]) == ("NOT_FOUND", "r-1")
    async with client.put("/v1/documents") as answer:
        assert answer.status == 405
        assert "GET" in answer.headers["Allow"]
        assert (await answer.json())["error"]["code"] == "METHOD_NOT_ALLOWED"


async def test_documents_are_listed_newest_first_page_by_page(state: State, client: Client) -> None:
    """Following next_cursor gives every document once; the last page has none."""
    ids = [state.begin(ALICE) for _ in range(5)]
    state.begin(BOB)
    seen: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        async with client.get("/v1/documents", params=query) as answer:
            body = await answer.json()
        seen += [record["document_id"] for record in body["documents"]]
        cursor, pages = body["next_cursor"], pages + 1
    assert pages == 3
    assert seen == sorted(ids, reverse=True)


async def test_record_has_the_documented_fields(state: State, client: Client) -> None:
    """One record, as the listing has it too."""
    document = state.add(ALICE, TEA, filename="tëa.pdf")
    async with client.get(f"/v1/documents/{document}") as answer:
        record = await answer.json()
    assert set(record) == {
        *("document_id", "filename", "content_type", "size", "sha256", "status", "error"),
        *("created_at", "updated_at", "chunks", "version_id", "warnings"),
    }
    assert (record["filename"], record["status"], record["chunks"]) == ("tëa.pdf", "indexed", 1)
    async with client.get("/v1/documents") as answer:
        assert (await answer.json())["documents"] == [record]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=",
        "limit=²",
        "limit=" + "9" * 99,
        "cursor=x",
        "a=1",
    ],
)
async def test_bad_paging_is_a_validation_error(client: Client, query: str) -> None:
    """Limits and cursors are checked, and unknown parameters refused."""
    async with client.get(f"/v1/documents?{query}") as answer:
        assert answer.status == 400


async def test_deleted_document_is_gone_at_once_and_for_good(state: State, client: Client) -> None:
    """After the 204 no look-up, listing or question shows it; a second one is 204 as well."""
    document = state.add(ALICE, TEA)
    for _ in range(2):
        async with client.delete(f"/v1/documents/{document}") as answer:
            assert answer.status == 204
    async with client.get(f"/v1/documents/{document}") as answer:
        assert answer.status == 404
    async with client.get("/v1/documents") as answer:
        assert (await answer.json())["documents"] == []
    assert dict(await ask(client, "tea"))["sources"] == []
    assert state.registry.is_tombstoned(ALICE, document)


async def test_unknown_document_is_tombstoned_too(state: State, client: Client) -> None:
    """A deletion that comes before the first write still keeps the document out."""
    document = uuid7()
    async with client.delete(f"/v1/documents/{document}") as answer:
        assert answer.status == 204
    assert state.registry.is_tombstoned(ALICE, document)


async def test_foreign_document_is_neither_shown_nor_deleted(state: State, client: Client) -> None:
    """Somebody else's id names nothing."""
    document = state.add(BOB, TEA)
    async with client.get(f"/v1/documents/{document}") as answer:
        assert answer.status == 404
    async with client.delete(f"/v1/documents/{document}") as answer:
        assert answer.status == 204
    assert state.registry.get(BOB, document) is not None
    assert len(state.find(BOB, "tea")) == 1


@pytest.mark.parametrize("spelling", ["x", "0190000A-0000-7000-8000-000000000000", "0" * 36])
async def test_other_spellings_of_an_id_are_not_found(client: Client, spelling: str) -> None:
    """There is one spelling of an id."""
    for method in ("GET", "DELETE"):
        async with client.request(method, f"/v1/documents/{spelling}") as answer:
            assert answer.status == 404


class Faulty:
    """A writer that breaks off after a token."""

    model = "faulty"

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    async def write(self, question: str, terms: str, hits: list[Hit]) -> AsyncIterator[Part]:
        yield Token("half")
        raise self._fault


@pytest.mark.parametrize(
    ("fault", "code"), [(ModelTimeout(), "CORE_TIMEOUT"), (ValueError("secret"), "INTERNAL")]
)
async def test_fault_in_the_middle_ends_with_an_error_event(
    state: State, fault: Exception, code: str
) -> None:
    """A stream ends with done or error, and the error tells no internals."""
    state.add(ALICE, TEA)
    async with serving(state, Faulty(fault)) as client:  # type: ignore[arg-type]
        answer = await ask(client, "tea")
    assert [name for name, _ in answer] == ["meta", "sources", "token", "error"]
    assert answer[-1][1]["error"]["code"] == code
    assert "secret" not in json.dumps(answer)


class Endless:
    """A writer that writes until it is told to stop, and knows when it was."""

    model = "endless"

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def write(self, question: str, terms: str, hits: list[Hit]) -> AsyncIterator[Part]:
        try:
            while True:
                yield Token("again ")
                await asyncio.sleep(0.001)
        finally:
            self.ended.set()


async def test_caller_that_leaves_ends_the_writing(state: State) -> None:
    """No model goes on writing for nobody."""
    state.add(ALICE, TEA)
    writer = Endless()
    async with serving(state, writer) as client:  # type: ignore[arg-type]
        answer = await client.post("/v1/query", json={"query": "tea"})
        await answer.content.readline()
        answer.close()
        await asyncio.wait_for(writer.ended.wait(), 30)


async def test_questions_at_once_get_their_own_answers(state: State, client: Client) -> None:
    """Requests share threads and indexes and nothing else."""
    for owner, word in ((ALICE, "green"), (BOB, "black")):
        state.add(owner, f"Tea here is {word}.")

    async def one(subject: str) -> str:
        answer = await ask(client, "tea", headers={"X-KB-Subject": subject})
        return "".join(part["text"] for name, part in answer if name == "token")

    answers = await asyncio.gather(*(one(s) for s in ("alice", "bob") * 20))
    assert answers == ["Tea here is green.", "Tea here is black."] * 20


async def test_missing_index_is_an_internal_error_in_the_one_shape(
    state: State, client: Client
) -> None:
    """A fault before the first event is a plain status, not a broken stream."""
    state.add(ALICE, TEA)
    state.registry.put_chunks(ALICE, state.begin(ALICE), [])
    for path in (state.data_dir / "index/acme/alice").glob("*-*/*"):
        path.unlink()
    async with client.post("/v1/query", json={"query": "tea"}) as answer:
        assert answer.status == 500
        assert (await answer.json())["error"]["code"] == "INTERNAL"
