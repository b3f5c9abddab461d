"""The OpenAPI document and the running gateway, fed the same values: what one takes, both take."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
import pytest_asyncio

from gateway.domain.documents import DOCX, encode_cursor
from gateway.edge.http.request_schemas import REMAINDER

from .conftest import Gateway, running_gateway
from .fakes import PASSWORD
from .raw import exchange, request
from .stub_core import stub_core

pytestmark = pytest.mark.asyncio(loop_scope="module")

ID = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
DOCUMENTS, KEYS, QUERY = "/api/v1/documents", "/api/v1/keys", "/api/v1/query"
SEARCH, CHAT = "/api/v1/search", "/api/v1/openai/v1/chat/completions"
PARTS, COMPLETE = f"{DOCUMENTS}/{{document_id}}/parts", f"{DOCUMENTS}/{{document_id}}/complete"
ROTATE = f"{KEYS}/{{key_id}}/rotate"

# A body that is taken, for each route that has one. No such document or key: 404 is as good.
TAKEN: dict[str, dict[str, Any]] = {
    "/auth/login": {"username": "alice", "password": PASSWORD},
    DOCUMENTS: {
        "filename": "a.txt",
        "size": 5,
        "content_type": "text/plain",
        "sha256": "0" * 64,
        "upload_method": "PUT",
    },
    PARTS: {"parts": [1]},
    COMPLETE: {"parts": [{"n": 1, "etag": '"e"'}]},
    KEYS: {"name": "k", "scopes": ["query:run"], "expires_in": 60},
    ROTATE: {"overlap": 0},
    SEARCH: {"query": "hi", "top_k": 5, "document_ids": [ID]},
    QUERY: {
        "query": "hi",
        "top_k": 5,
        "document_ids": [ID],
        "conversation_id": ID,
        "stream": False,
    },
}
ASKED = {"role": "user", "content": "hi"}
TAKEN[CHAT] = {
    "model": "knowledge-base",
    "messages": [ASKED],
    "stream": False,
    "stream_options": {"include_usage": True},
    "footnotes": True,
    "top_k": 5,
    "document_ids": [ID],
    "conversation_id": ID,
    **dict.fromkeys(("n", "tools", "functions", "tool_choice", "function_call", "response_format")),
    **dict.fromkeys(("modalities", "audio", "prediction", "web_search_options", "moderation")),
    **dict.fromkeys(("stop", "logprobs", "top_logprobs", "temperature", "top_p", "seed", "user")),
    **dict.fromkeys(("frequency_penalty", "presence_penalty", "logit_bias", "max_tokens")),
    **dict.fromkeys(("max_completion_tokens", "parallel_tool_calls", "reasoning_effort", "store")),
    **dict.fromkeys(("verbosity", "metadata", "safety_identifier", "prompt_cache_key")),
    **dict.fromkeys(("prompt_cache_retention", "service_tier")),
}
# Every field of every body gets each of these, and each field its own besides.
EVERYWHERE: list[Any] = [
    None, True, False, 0, 1, -1, 5, 17.0, 1e1, 17.5, 1e300, -0.0, 2**53, 2**64, 2**70,
    "", "a", "5", "17.0", "null", "a\0b", "a\nb", "\0", "a ", "x" * 65, "x" * 300, "x" * 9000,
    [], [1], ["a"], [None], {}, {"a": 1},
]  # fmt: skip
OWN: dict[tuple[str, str], list[Any]] = {
    (DOCUMENTS, "filename"): [
        "a.TXT", "a.b.text", ".txt", "..txt", "a/b.txt", "a\\b.txt", " a.txt", "\u3000a.txt",
        "a.txt ", "a.txt\n", "a\u2028.txt", "exe\u202etxt.txt", "a\u200f.txt", "a\x85.txt",
        "Füchse – 😀.txt", "x" * 251 + ".txt", "x" * 252 + ".txt", "a.exe", "a", ".", "..",
    ],
    (DOCUMENTS, "content_type"): [
        "Text/Plain", "text/plain; charset=utf-8", " text/plain\t;x", "application/txt",
        "application/octet-stream", "binary/octet-stream;x=y", "text/plain;\0", "image/png",
        "text", "text/plain, text/html", "text/plain\n", "text/plain ", "text/x-\u212aind", ";",
    ],
    (DOCUMENTS, "size"): [2**30, 2**30 + 1, 5.0, 1e9],
    (DOCUMENTS, "sha256"): ["A" * 64, "0" * 63, "0" * 64 + "\n"],
    (DOCUMENTS, "upload_method"): ["POST", "put", "MULTIPART"],
    (PARTS, "parts"): [[1.0], [0], [10_000], [10_001], [1, 2], ["1"], list(range(1, 1002))],
    (COMPLETE, "parts"): [
        [{"n": 1}], [{"n": 1.0, "etag": "e"}], [{"n": 0, "etag": "e"}], [{"n": 1, "etag": ""}],
        [{"n": 1, "etag": "e", "x": 1}], [{"n": 1, "etag": "e\0"}],
    ],
    (KEYS, "name"): ["x" * 100, "x" * 101, "   ", "ü", "a\u2029b", "a\u202eb", "a\x7fb"],
    (KEYS, "scopes"): [["keys:list"], ["keys:create"], ["query:run"] * 32, ["query:run"] * 33],
    (KEYS, "expires_in"): [315_360_000, 315_360_001, 60.0],
    (ROTATE, "overlap"): [604_800, 604_801, 604_800.0],
    (SEARCH, "query"): ["x" * 8192, "x" * 8193, "😀" * 8192],
    (SEARCH, "top_k"): [50, 51, 50.0],
    (SEARCH, "document_ids"): [[ID] * 100, [ID] * 101, [ID.upper()], [ID + "\n"]],
    (QUERY, "query"): ["x" * 8192, "x" * 8193, "😀" * 8192],
    (QUERY, "top_k"): [50, 51, 50.0],
    (QUERY, "document_ids"): [[ID] * 100, [ID] * 101, [ID.upper()], [ID + "\n"]],
    (QUERY, "conversation_id"): [ID.upper(), ID + "\n", ID.replace("-7", "-4", 1)],
    (CHAT, "model"): ["gpt-5"],
    (CHAT, "messages"): [
        [ASKED] * 2000, [ASKED] * 2001, [{"role": "user"}, ASKED],
        [{**ASKED, "role": "tool"}, ASKED],
        [{**ASKED, "role": "owner"}], [{**ASKED, "name": 5, "annotations": [{"x": None}]}],
        [{"role": "assistant", "content": None}, ASKED], [{**ASKED, "content": 5}],
        [{**ASKED, "content": [{"type": "text", "text": "hi"}]}], [{**ASKED, "content": [{}]}],
        [{**ASKED, "content": [{"type": "text", "text": "hi"}] * 65}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, ASKED],
    ],
    (CHAT, "stream_options"): [{"include_usage": 1}, {"x": True}, {"include_obfuscation": False}],
    (CHAT, "document_ids"): [[ID] * 100, [ID] * 101, [ID.upper()], [ID + "\n"]],
    (CHAT, "conversation_id"): [ID.upper(), ID + "\n"],
    (CHAT, "response_format"): [{"type": "text"}, {"type": "xml"}, {"type": "text", "a": 1}],
    (CHAT, "modalities"): [["text"], ["text", "text"], ["audio"]],
    (CHAT, "tool_choice"): ["none", "auto", "required", {"type": "function"}],
    (CHAT, "function_call"): ["none", "auto", {"name": "f"}],
    (CHAT, "logit_bias"): [{"1": 0.5, "2": -100}, {"1": "x"}],
    (CHAT, "metadata"): [{"a": "b"}, {"a": 1}, {str(n): "x" for n in range(17)}],
}  # fmt: skip
# What JSON Schema cannot say: the document takes it, the gateway does not.
BEYOND: list[tuple[str, dict[str, Any]]] = [
    (DOCUMENTS, {"filename": "ü" * 126 + ".txt"}),
    (DOCUMENTS, {"filename": "a.pdf"}),
    (DOCUMENTS, {"content_type": DOCX}),
    (KEYS, {"name": "a\u200bb"}),
    *((CHAT, {"messages": [{"role": "user", "content": text}]}) for text in ("", None, "x" * 8193)),
    *((CHAT, {"messages": [{"role": role, "content": "hi"}]}) for role in ("system", "tool")),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
]
PARAMETERS: list[dict[str, Any]] = [
    *({"limit": limit} for limit in (0, 1, 17.0, 17.5, 100, 101, -1, 2**70, "x", "", "1 ", "+1")),
    *({"cursor": text} for text in (encode_cursor(ID), "", "next", ID, "a\0", "x" * 201)),
    *({"owner": text} for text in ("bob", "Bob", "", "bob\n", "a" * 64, "a" * 65, "a/b")),
    {"nothing": "1"},
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[Gateway]:
    async with stub_core() as core, running_gateway(core) as running:
        yield running


class Both:
    """The document's word, and the gateway's, on a request by an admin."""

    def __init__(self, gateway: Gateway, document: dict[str, Any], bearer: dict[str, str]) -> None:
        self.gateway, self.document, self.bearer = gateway, document, bearer

    def described(self, path: str, media_type: str = "application/json") -> Any:
        content = self.document["paths"][path]["post"]["requestBody"]["content"]
        return self._validator(content[media_type]["schema"])

    def _validator(self, schema: Any) -> Any:
        return jsonschema_rs.Draft202012Validator(
            {**schema, "components": self.document["components"]}
        )

    def parameter(self, name: str) -> Any:
        declared = self.document["paths"][DOCUMENTS]["get"]["parameters"]
        found = [one["schema"] for one in declared if one["name"] == name]
        return self._validator(found[0]) if found else self._validator({"not": {}})

    async def takes(self, path: str, content_type: str, body: bytes) -> bool:
        target = path.format(document_id=ID, key_id="a" * 16)
        headers = {**self.bearer, "Content-Type": content_type}
        self.gateway.keys.records.clear()  # there may be a hundred an owner
        return await self._is_taken(request("POST", target, headers, body))

    async def takes_json(self, path: str, body: Any) -> bool:
        return await self.takes(path, "application/json", json.dumps(body).encode())

    async def takes_query(self, query: str) -> bool:
        return await self._is_taken(request("GET", f"{DOCUMENTS}?{query}", self.bearer))

    async def _is_taken(self, data: bytes) -> bool:
        answer = await exchange(self.gateway.address, data)
        assert answer.status in {200, 201, 202, 400, 401, 404, 502}, answer.body
        return answer.status != 400


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(gateway: Gateway) -> Both:
    document = (await gateway.client.get("/openapi.json")).json()
    return Both(gateway, document, await gateway.bearer("root"))


def bodies(path: str) -> Iterator[dict[str, Any]]:
    """The body that is taken; each field in turn without, or with another value; one too many."""
    good = TAKEN[path]
    yield from ({}, good, good | {"admin": True})
    for name in good:
        yield {key: value for key, value in good.items() if key != name}
        for value in [*EVERYWHERE, *OWN.get((path, name), ())]:
            yield good | {name: value}


def change(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What tells ``body`` from the one that is taken; ``...`` for what is missing."""
    good = TAKEN[path]
    missing = {name: ... for name in good if name not in body}
    return missing | {
        name: value for name, value in body.items() if name not in good or good[name] != value
    }


async def test_the_table_has_every_body_and_every_field(both: Both) -> None:
    """A new route or field is asked about, too."""
    paths = both.document["paths"]
    with_body = {
        path for path, methods in paths.items() if "requestBody" in methods.get("post", {})
    }
    # The same handler as /auth/login; and what JSON-RPC refuses by its own codes, in test_mcp.py.
    assert set(TAKEN) == with_body - {"/api/v1/auth/login", "/mcp"}
    for path, body in TAKEN.items():
        reference = paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        schema = both.document["components"]["schemas"][reference["$ref"].rsplit("/", 1)[1]]
        assert set(body) == set(schema["properties"])
        assert both.described(path).is_valid(body)
        assert await both.takes_json(path, body)


@pytest.mark.parametrize("path", TAKEN)
async def test_a_body_is_taken_where_the_document_says_so(both: Both, path: str) -> None:
    """Field by field and value by value; 17.0 is an integer to both, NUL a text to none."""
    described = both.described(path)
    differing = [
        change(path, body)
        for body in bodies(path)
        if described.is_valid(body) != await both.takes_json(path, body)
    ]
    assert not differing


async def test_a_long_body_is_read_by_the_same_rules(both: Both) -> None:
    """Above 8 KiB a body's shape is checked first, by another reader."""
    long = "x" * 8192
    for top_k in (17.0, 17.5, "17", True, None, 51.0):
        body = {"query": long, "top_k": top_k, "document_ids": [ID] * 9, "stream": False}
        assert len(json.dumps(body)) > 8 * 1024
        assert await both.takes_json(QUERY, body) == both.described(QUERY).is_valid(body), top_k


async def test_a_form_is_taken_where_the_document_says_so(both: Both) -> None:
    """Its fields are texts; numbers in them are those that JSON has, and there is no null."""
    described = both.described(DOCUMENTS, "multipart/form-data")
    differing: list[Any] = []
    for body in bodies(DOCUMENTS):
        if any(isinstance(value, bool | list | dict) or value is None for value in body.values()):
            continue
        if any("\0" in str(value) for name, value in body.items() if name == "size"):
            continue
        form = "".join(
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in body.items()
        )
        typed = {
            name: _as_number(text) if name == "size" else str(text) for name, text in body.items()
        }
        data = f"{form}--x--\r\n".encode()
        if described.is_valid(typed) != await both.takes(
            DOCUMENTS, "multipart/form-data; boundary=x", data
        ):
            differing.append(change(DOCUMENTS, body))
    assert not differing
    assert not described.is_valid({**TAKEN[DOCUMENTS], "sha256": None})


def _as_number(value: Any) -> Any:
    """A form's or a query's text as what it stands for; JSON would skip blanks round it."""
    try:
        return json.loads(value) if isinstance(value, str) and value == value.strip() else value
    except ValueError:
        return value


@pytest.mark.parametrize("query", PARAMETERS, ids=str)
async def test_a_parameter_is_taken_where_the_document_says_so(
    both: Both, query: dict[str, Any]
) -> None:
    """``limit`` as an integer, ``cursor`` and ``owner`` in their one spelling, none beside them."""
    ((name, value),) = query.items()
    typed = _as_number(value) if name == "limit" else value
    assert await both.takes_query(urlencode(query)) == both.parameter(name).is_valid(typed)


@pytest.mark.parametrize(("path", "change"), BEYOND)
async def test_what_a_schema_cannot_say_is_said_in_words(
    both: Both, path: str, change: dict[str, Any]
) -> None:
    """These, and a cursor that no listing gave, are all: the description tells of them."""
    body = TAKEN[path] | change
    assert both.described(path).is_valid(body)
    assert not await both.takes_json(path, body)
    assert REMAINDER in both.document["info"]["description"]


async def test_a_cursor_that_no_listing_gave_is_refused(both: Both) -> None:
    """The document knows its alphabet and its length."""
    assert both.parameter("cursor").is_valid("x" * 48)
    assert not await both.takes_query("cursor=" + "x" * 48)
