"""``POST /mcp`` on the wire: what messages are understood, refused, and told of tools."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from .conftest import Gateway, running_gateway
from .doors import rpc, rpc_head
from .keeping_core import settled
from .stub_core import DONE, END, META, STREAM_HEAD, StubCore, chunk
from .test_core_records import answers
from .test_logs import Lines, lines, uncached
from .test_search import ID, PASSAGE

__all__ = ["lines", "uncached"]

OLDER = {"MCP-Protocol-Version": "2025-11-25"}


async def post(
    gateway: Gateway, message: Any, head: dict[str, str] | None = None, who: str = "alice"
) -> httpx.Response:
    """One message, with the head that it needs unless ``head`` says otherwise."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    given = rpc_head(message) if head is None else head
    fitting = {"content-type": "application/json"} | {k.lower(): v for k, v in given.items()}
    headers = {**fitting, **await gateway.bearer(who)}
    return await gateway.client.post("/mcp", content=body, headers=headers)


async def call(gateway: Gateway, name: str, who: str = "alice", **arguments: Any) -> dict[str, Any]:
    """A tool's result, which came as one JSON document."""
    message = rpc("tools/call", name=name, arguments=arguments)
    answer = await post(gateway, message, {**rpc_head(message), "Accept": "application/json"}, who)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return result


def failure_of(result: dict[str, Any]) -> dict[str, Any]:
    assert result["isError"], result
    assert "structuredContent" not in result
    (block,) = result["content"]
    error: dict[str, Any] = json.loads(block["text"])["error"]
    return error


# --- what is told of the server -------------------------------------------------------------------


async def test_a_server_is_discovered_without_a_handshake(gateway: Gateway) -> None:
    """Its versions, that it has tools, and for how long anybody may keep that."""
    answer = await post(gateway, rpc("server/discover", "d-1"))
    told = answer.json()
    assert (answer.status_code, told["jsonrpc"], told["id"]) == (200, "2.0", "d-1")
    result = told["result"]
    assert result["resultType"] == "complete"
    assert result["supportedVersions"] == ["2026-07-28", "2025-11-25", "2025-06-18"]
    assert result["capabilities"] == {"tools": {}}
    assert (result["ttlMs"] > 0, result["cacheScope"]) == (True, "public")
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"]
    assert "mcp-session-id" not in answer.headers


async def test_four_tools_are_listed_with_what_they_take_and_give(gateway: Gateway) -> None:
    """In one order, each with both schemas, of which no reference leads elsewhere."""
    result = (await post(gateway, rpc("tools/list"))).json()["result"]
    tools = {tool["name"]: tool for tool in result["tools"]}
    assert list(tools) == ["ask", "search", "list_documents", "get_document"]
    for tool in tools.values():
        assert tool["annotations"]["readOnlyHint"] is True
        for schema in (tool["inputSchema"], tool["outputSchema"]):
            assert schema["type"] == "object"
            for reference in _references(schema):
                assert reference.removeprefix("#/$defs/") in schema["$defs"]
        for argument in tool["inputSchema"]["properties"].values():
            assert argument["description"]
        assert tool["inputSchema"]["additionalProperties"] is False
    assert result["ttlMs"] > 0


def _references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [found for one in schema for found in _references(one)]
    if not isinstance(schema, dict):
        return []
    here = [schema["$ref"]] if "$ref" in schema else []
    return here + [found for one in schema.values() for found in _references(one)]


async def test_a_client_of_an_older_revision_begins_and_asks_on_any_replica(
    gateway: Gateway, core: StubCore
) -> None:
    """``initialize`` begins nothing that is remembered: the next gateway answers as well."""
    begin = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {}},
    }
    result = (await post(gateway, begin, {})).json()["result"]
    assert (result["protocolVersion"], result["capabilities"]) == ("2025-06-18", {"tools": {}})
    assert result["serverInfo"]["name"]
    async with running_gateway(core) as other:
        begun = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        told = await post(other, begun, OLDER)
        assert (told.status_code, told.content) == (202, b"")
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert "result" in (await post(other, ping, OLDER)).json()
        listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        assert len((await post(other, listing, OLDER)).json()["result"]["tools"]) == 4
        params = {"name": "ask", "arguments": {"query": "hi"}}
        asking = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": params}
        result = (await post(other, asking, OLDER)).json()["result"]
        assert result["structuredContent"]["answer"] == "hello"


async def test_who_begins_with_an_unknown_version_is_offered_one(gateway: Gateway) -> None:
    begin = {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {}},
    }
    result = (await post(gateway, begin, {})).json()["result"]
    assert result["protocolVersion"] == "2025-11-25"


# --- what is refused ------------------------------------------------------------------------------

LIST = rpc("tools/list")
ASK = rpc("tools/call", name="ask", arguments={"query": "hi"})


def without(message: dict[str, Any], *names: str) -> dict[str, Any]:
    """``message`` with less in its ``_meta``."""
    meta = message["params"]["_meta"]
    left = {name: value for name, value in meta.items() if name.rpartition("/")[2] not in names}
    return {**message, "params": {**message["params"], "_meta": left}}


def head(message: dict[str, Any], **changed: str | None) -> dict[str, str]:
    """The right head with ``changed`` fields: ``mcp_name="x"``, or without them."""
    found: dict[str, str | None] = {name.lower(): text for name, text in rpc_head(message).items()}
    found |= {name.replace("_", "-"): text for name, text in changed.items()}
    return {name: text for name, text in found.items() if text is not None}


REFUSED: dict[str, tuple[Any, dict[str, str], int, int]] = {
    "no JSON": (b"{", head(LIST), 400, -32700),
    "not UTF-8": (b'{"jsonrpc": "\xff"}', head(LIST), 400, -32700),
    "a batch": ([LIST], head(LIST), 400, -32600),
    "an answer": ({"jsonrpc": "2.0", "id": 1, "result": {}}, head(LIST), 400, -32600),
    "another JSON-RPC": ({**LIST, "jsonrpc": "1.0"}, head(LIST), 400, -32600),
    "an id that is null": ({**LIST, "id": None}, head(LIST), 400, -32600),
    "an id that is no integer": ({**LIST, "id": 1.5}, head(LIST), 400, -32600),
    "a huge id": ({**LIST, "id": "x" * 257}, head(LIST), 400, -32600),
    "params that are a list": ({**LIST, "params": []}, head(LIST), 400, -32602),
    "a notification's that are one": (
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": []},
        {"MCP-Protocol-Version": "2025-11-25"},
        400,
        -32602,
    ),
    "no _meta": ({**LIST, "params": {}}, head(LIST), 400, -32602),
    "no version in _meta": (without(LIST, "protocolVersion"), head(LIST), 400, -32602),
    "no capabilities in _meta": (without(LIST, "clientCapabilities"), head(LIST), 400, -32602),
    "a huge progress token": (
        rpc("tools/list", _meta={"progressToken": "x" * 257}),
        head(LIST),
        400,
        -32602,
    ),
    "no version in the head": (LIST, head(LIST, mcp_protocol_version=None), 400, -32020),
    "another version in the head": (
        LIST,
        head(LIST, mcp_protocol_version="2025-11-25"),
        400,
        -32020,
    ),
    "no method in the head": (LIST, head(LIST, mcp_method=None), 400, -32020),
    "another method in the head": (LIST, head(LIST, mcp_method="tools/call"), 400, -32020),
    "no name in the head": (ASK, head(ASK, mcp_name=None), 400, -32020),
    "another name in the head": (ASK, head(ASK, mcp_name="search"), 400, -32020),
    "a name that is no base64": (ASK, head(ASK, mcp_name="=?base64?*?="), 400, -32020),
    "a version that is not served": (
        rpc("tools/list", _meta={"io.modelcontextprotocol/protocolVersion": "1900-01-01"}),
        head(LIST, mcp_protocol_version="1900-01-01"),
        400,
        -32022,
    ),
    "an old version that is not served": (
        {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        {"MCP-Protocol-Version": "2025-03-26"},
        400,
        -32022,
    ),
    "an unknown method": (
        rpc("resources/list"),
        head(LIST, mcp_method="resources/list"),
        404,
        -32601,
    ),
    "a method of before": (rpc("ping"), head(LIST, mcp_method="ping"), 404, -32601),
    "no tool": (rpc("tools/call"), head(LIST, mcp_method="tools/call"), 400, -32602),
    "an unknown tool": (
        rpc("tools/call", name="rm", arguments={}),
        head(ASK, mcp_name="rm"),
        400,
        -32602,
    ),
    "a page that there is not": (rpc("tools/list", cursor="x"), head(LIST), 400, -32602),
}


async def test_a_message_that_is_wrong_is_refused_by_its_code(gateway: Gateway) -> None:
    """With the status that the specification asks for, and the request's id where it has one."""
    for name, (message, fields, status, code) in REFUSED.items():
        answer = await post(gateway, message, fields)
        told = answer.json()
        assert (answer.status_code, told["error"]["code"]) == (status, code), (name, told)
        knows_id = name != "a notification's that are one" and code not in (-32700, -32600)
        assert told["id"] == (1 if knows_id else None), name
        assert answer.headers["x-request-id"]
    assert not any("/v1/" in one for one in gateway.core.heads)


async def test_who_speaks_an_unknown_version_learns_which_ones_are_served(gateway: Gateway) -> None:
    message, fields, _, _ = REFUSED["a version that is not served"]
    data = (await post(gateway, message, fields)).json()["error"]["data"]
    assert data["requested"] == "1900-01-01"
    assert data["supported"] == ["2026-07-28", "2025-11-25", "2025-06-18"]


async def test_a_head_that_is_there_twice_is_refused(gateway: Gateway) -> None:
    """A proxy may have read the other one."""
    fields = [*head(LIST).items(), ("mcp-method", "tools/list"), *(await gateway.bearer()).items()]
    answer = await gateway.client.post("/mcp", content=json.dumps(LIST), headers=fields)
    assert answer.json()["error"]["code"] == -32020


async def test_a_tools_name_in_base64_is_the_same_name(gateway: Gateway) -> None:
    encoded = base64.b64encode(b"ask").decode()
    answer = await post(gateway, ASK, head(ASK, mcp_name=f"=?base64?{encoded}?="))
    assert answer.status_code == 200


async def test_what_is_none_of_json_rpcs_is_an_error_of_http(gateway: Gateway) -> None:
    """In the one error shape, before anything of the body is understood."""
    bearer = await gateway.bearer()
    typed = {"Content-Type": "application/json", **bearer}
    big = json.dumps(rpc("tools/list", padding="x" * 131072)).encode()
    found = {
        "a type that is not JSON": await gateway.client.post("/mcp", content=b"{}", headers=bearer),
        "too large": await gateway.client.post("/mcp", content=big, headers=typed),
        "a parameter": await gateway.client.post("/mcp?owner=bob", content=b"{}", headers=typed),
        "a stream to listen on": await gateway.client.get("/mcp", headers=bearer),
        "a session's end": await gateway.client.delete("/mcp", headers=bearer),
    }
    statuses = {name: answer.status_code for name, answer in found.items()}
    assert list(statuses.values()) == [415, 413, 400, 405, 405], statuses
    assert all(answer.json()["error"]["details"]["request_id"] for answer in found.values())
    assert found["a stream to listen on"].headers["allow"] == "POST"


async def test_a_stranger_is_challenged_before_his_message_is_read(gateway: Gateway) -> None:
    """Also for what would tell him nothing of anybody's; agents sign in when they are told 401."""
    for message in (rpc("server/discover"), ASK, {}):
        answer = await gateway.client.post("/mcp", json=message)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "UNAUTHENTICATED"
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_pages_of_unlisted_origins_are_refused(gateway: Gateway, core: StubCore) -> None:
    """Also those of a site that has the gateway's address for its own name."""
    evil = {**head(LIST), "Origin": "https://evil.example"}
    answer = await post(gateway, LIST, evil)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "FORBIDDEN")
    anonymous = await gateway.client.post("/mcp", json=LIST, headers=evil)
    assert anonymous.status_code == 403
    async with running_gateway(core, CORS_ORIGINS="https://agents.example") as listed:
        page = {"Origin": "https://agents.example"}
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "mcp-method,mcp-name,mcp-protocol-version",
        }
        preflight = await listed.client.options("/mcp", headers={**page, **asked})
        allowed = preflight.headers["access-control-allow-headers"].split(", ")
        assert {"mcp-method", "mcp-name", "mcp-protocol-version"} <= set(allowed)
        answer = await post(listed, LIST, {**head(LIST), **page})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://agents.example"


# --- tools ----------------------------------------------------------------------------------------

SOURCE = b"event: sources\ndata: [%b]\n\n" % json.dumps(PASSAGE).encode()
TOLD = (
    SOURCE
    + b'event: token\ndata: {"text":"Green tea steeps"}\n\n'
    + b'event: token\ndata: {"text":" for three minutes."}\n\n'
    + b'event: citation\ndata: {"source":0,"start":0,"end":35}\n\n'
)


async def test_an_answer_keeps_its_citations_for_models_and_for_programs(gateway: Gateway) -> None:
    """The text has them as notes, the structure as the API has them."""
    gateway.core.sends(STREAM_HEAD, chunk(META + TOLD + DONE), END)
    result = await call(gateway, "ask", query="How long?", top_k=3, document_ids=[ID])
    found = result["structuredContent"]
    assert found["citations"] == [{"source": 0, "start": 0, "end": 35}]
    assert found["sources"] == [PASSAGE]
    assert result["content"] == [
        {
            "type": "text",
            "text": "Green tea steeps for three minutes. [1]\n\n"
            f"[1] tea.pdf, page 2 (document {ID})",
        }
    ]
    sent = json.loads(gateway.core.bodies[-1])
    assert sent == {"query": "How long?", "top_k": 3, "document_ids": [ID]}


async def test_passages_are_found_and_told_twice(gateway: Gateway) -> None:
    answers(gateway, {"passages": [PASSAGE]})
    result = await call(gateway, "search", query="tea")
    assert result["structuredContent"] == {"passages": [PASSAGE]}
    assert json.loads(result["content"][0]["text"]) == {"passages": [PASSAGE]}


async def test_documents_are_listed_and_looked_up(gateway: Gateway) -> None:
    """Those of whoever asks: another tenant's name nothing."""
    answers(gateway, {"documents": [], "next_cursor": None})
    headers = await gateway.bearer()
    body = {"filename": "tea.txt", "content_type": "text/plain", "size": 3}
    made = await gateway.client.post("/api/v1/documents", json=body, headers=headers)
    document_id = made.json()["document_id"]
    listed = await call(gateway, "list_documents", limit=5)
    (document,) = listed["structuredContent"]["documents"]
    gateway.core.sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    looked_up = await call(gateway, "get_document", document_id=document_id)
    assert looked_up["structuredContent"] == document
    for stranger in ("bob", "carol"):
        result = await call(gateway, "get_document", stranger, document_id=document_id)
        assert failure_of(result)["code"] == "NOT_FOUND"


async def test_wrong_arguments_are_named_so_that_a_model_can_mend_them(gateway: Gateway) -> None:
    """As a tool's failure, by field, and the core is not asked."""
    wrong = {
        "query": await call(gateway, "ask", question="hi"),
        "top_k": await call(gateway, "search", query="hi", top_k=51),
        "document_id": await call(gateway, "get_document", document_id="../x"),
        "limit": await call(gateway, "list_documents", limit="many"),
        "stream": await call(gateway, "ask", query="hi", stream=False),
    }
    for name, result in wrong.items():
        error = failure_of(result)
        assert (error["code"], name in error["details"]["fields"]) == ("VALIDATION_ERROR", True)
    assert not any("/v1/" in one for one in gateway.core.heads)


async def test_each_tool_is_an_action_that_a_key_has_or_has_not(gateway: Gateway) -> None:
    """One that may search may not ask; the failure says that it is a matter of permission."""
    body = {"name": "k", "scopes": ["search:run"]}
    made = await gateway.client.post("/api/v1/keys", json=body, headers=await gateway.bearer())
    key = {"X-API-Key": made.json()["secret"]}
    answers(gateway, {"passages": []})
    found = {}
    for name, arguments in {
        "ask": {"query": "hi"},
        "search": {"query": "hi"},
        "list_documents": {},
        "get_document": {"document_id": ID},
    }.items():
        message = rpc("tools/call", name=name, arguments=arguments)
        headers = {**rpc_head(message), **key}
        answer = await gateway.client.post("/mcp", json=message, headers=headers)
        found[name] = answer.json()["result"]
    assert not found.pop("search")["isError"]
    for result in found.values():
        error = failure_of(result)
        assert error["code"] == "FORBIDDEN"
        assert error["details"]["decision_id"]


async def test_the_policy_and_the_log_see_the_action_that_they_know(
    gateway: Gateway, lines: Lines
) -> None:
    """One line a call: the door's route, the tool's action, how it went; never what was asked."""
    answers(gateway, {"passages": []})
    await call(gateway, "search", query="unmentionable")
    gateway.core.sends(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    await call(gateway, "get_document", document_id=ID)
    await post(gateway, rpc("tools/list"))
    found, missing, listed = [one for one in lines.requests() if one["route"] == "/mcp"]
    assert (found["door"], found["action"], found["decision"]) == ("mcp", "search:run", "allow")
    assert (found["status"], found["upstream"], "error" in found) == (200, "core", False)
    assert (missing["action"], missing["error"]) == ("documents:read", "NOT_FOUND")
    assert (listed["status"], "action" in listed) == (200, False)
    assert "unmentionable" not in lines.text


async def test_a_call_counts_once_at_each_limit(core: StubCore) -> None:
    """Those by address count a message before it is read, and none of them a second time."""
    limits = "* 4/h per address; query:run 2/h per subject; *:* 100/h per address"
    async with running_gateway(core, LIMITS=limits) as gateway:
        headers = await gateway.bearer()  # which is one of the four
        message = rpc("tools/call", name="ask", arguments={"query": "hi"})
        seen = []
        for _ in range(4):
            answer = await gateway.client.post(
                "/mcp", json=message, headers={**rpc_head(message), **headers}
            )
            seen.append(answer)
        assert [answer.status_code for answer in seen] == [200, 200, 200, 429]
        assert all('"query:run/subject/h"' in one.headers["RateLimit"] for one in seen[:3])
        error = failure_of(seen[2].json()["result"])
        assert (error["code"], error["details"]["retry_after_s"] > 0) == ("RATE_LIMITED", True)
        assert seen[3].json()["error"]["code"] == "RATE_LIMITED"
        assert int(seen[3].headers["retry-after"]) > 0


# --- answers under way ----------------------------------------------------------------------------


async def events(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


async def test_who_wants_progress_is_told_the_answer_as_it_comes(gateway: Gateway) -> None:
    """Piece by piece, with numbers that grow; then the whole of it. Nobody else is."""
    go_on = gateway.core.holds(STREAM_HEAD, chunk(META + TOLD), then=chunk(DONE) + END)
    message = rpc(
        "tools/call",
        name="ask",
        arguments={"query": "hi"},
        _meta={"progressToken": "p-1"},
    )
    headers = {**rpc_head(message), **await gateway.bearer()}
    async with gateway.client.stream("POST", "/mcp", json=message, headers=headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        told = events(answer)
        first = await anext(told)
        assert first["method"] == "notifications/progress"
        assert first["params"] == {
            "progressToken": "p-1",
            "progress": 35,
            "message": "Green tea steeps for three minutes.",
        }
        go_on.set()
        last = await anext(told)
        assert last["result"]["structuredContent"]["answer"] == first["params"]["message"]
        assert [one async for one in told] == []


async def test_an_answer_that_breaks_off_is_a_failure_and_no_answer(gateway: Gateway) -> None:
    """What was told before it stays a part of an answer."""
    gateway.core.sends(STREAM_HEAD, chunk(META + TOLD))
    message = rpc("tools/call", name="ask", arguments={"query": "hi"}, _meta={"progressToken": 7})
    headers = {**rpc_head(message), **await gateway.bearer()}
    async with gateway.client.stream("POST", "/mcp", json=message, headers=headers) as answer:
        told = [one async for one in events(answer)]
    assert [one["params"]["progressToken"] for one in told[:-1]] == [7]
    error = failure_of(told[-1]["result"])
    assert error["code"] == "CORE_TRUNCATED"
    assert error["details"]["request_id"] == answer.headers["x-request-id"]


async def test_a_fault_of_our_own_is_told_without_a_reason(
    gateway: Gateway, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log has it, the agent the request's id."""

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret.internal:9000")

    monkeypatch.setattr("gateway.flows.search.Search.find", broken)
    error = failure_of(await call(gateway, "search", query="tea"))
    assert (error["code"], "secret" in json.dumps(error)) == ("INTERNAL", False)
    await settled(lambda: "secret.internal" in lines.text)
