"""Two versions of the API side by side, and how the older one ends: asked through every door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta
from sanic import Blueprint

from blueprints import query, query_socket
from blueprints.api import API
from gateway.domain.versions import Ending, Version
from gateway.edge.http.endpoint import declared_on, route
from gateway.edge.http.mounting import Api
from gateway.edge.ws.messages import QuestionId

from .conftest import Gateway, running_gateway
from .doors import DOORS, Door, Json, OpenAi, Progress, Sse, Told, WebSocket, all_open
from .grpc_client import asking, channel
from .raw import TIMEOUT_S, assert_error_shape, exchange, request
from .sockets import UPGRADE, opened
from .stub_core import StubCore
from .test_logs import Lines, lines, uncached

__all__ = ["lines", "uncached"]

DEPRECATED, SUNSET = date(2027, 1, 1), date(2028, 1, 1)
V1 = Version(1, since=date(2026, 11, 23), ending=Ending(DEPRECATED, SUNSET))
V2 = Version(2, since=date(2027, 1, 1))
AFTER = datetime(2028, 1, 1, tzinfo=UTC).timestamp()
JSON = {"Content-Type": "application/json"}


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """v2's body of a question: ``query`` is called ``question`` there."""

    question: Annotated[str, Meta(min_length=1, max_length=8192)]
    stream: bool = True

    def for_core(self) -> dict[str, Any]:
        return {"query": self.question}


class QuestionMessage(Question, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same on a socket."""

    type: Literal["ask"]
    id: QuestionId


def changed(old: Blueprint, **bodies: Any) -> Blueprint:
    """``old`` as a maintainer leaves it: each route up to v1, and again with another body."""
    new = Blueprint(old.name, url_prefix=old.url_prefix)
    for declared in declared_on(old):
        endpoint, handler = declared.endpoint, declared.handler
        fields = {
            name: getattr(endpoint, name)
            for name in ("summary", "successes", "errors", "kind", "door", "public_action")
        }
        placed = {"action": endpoint.action, "name": endpoint.name, **fields}
        method, path = endpoint.method, declared.path
        route(new, method, path, body=endpoint.body, until=1, **placed)(handler)
        handler, body = bodies.get(endpoint.name, (handler, endpoint.body))
        route(new, method, path, body=body, since=2, **placed)(handler)
    return new


def second_version(first: Version = V1) -> Api:
    """The API with a v2 in which a question has another body, over HTTP and on sockets."""
    asking = changed(query.blueprint, query=(query.ask, Question))
    socket = changed(
        query_socket.blueprint, query_socket=(query_socket.sockets_for(QuestionMessage), None)
    )
    known = {query.blueprint: asking, query_socket.blueprint: socket}
    return Api((first, V2), tuple(known.get(group, group) for group in API.groups))


@pytest.fixture
async def gateway(core: StubCore) -> AsyncIterator[Gateway]:
    async with running_gateway(core, api=second_version()) as running:
        yield running


class SseV2(Sse):
    path = "/api/v2/query"

    def question(self, query: str) -> dict[str, Any]:
        return {"question": query}


class JsonV2(Json):
    path = "/api/v2/query"

    def question(self, query: str) -> dict[str, Any]:
        return {"question": query, "stream": False}


class WebSocketV2(WebSocket):
    path = "/api/v2/query/ws"

    def question(self, query: str) -> dict[str, Any]:
        return {"question": query}


class OpenAiV2(OpenAi):
    path = "/api/v2/openai/v1/chat/completions"


IN_V2: dict[str, Door] = {
    "sse": SseV2(),
    "json": JsonV2(),
    "ws": WebSocketV2(),
    "openai": OpenAiV2(),
}
versioned_door = pytest.mark.parametrize("name", IN_V2)


def questions(gateway: Gateway) -> list[str]:
    """What the core was asked."""
    told = zip(gateway.core.heads, gateway.core.bodies, strict=True)
    return [json.loads(body)["query"] for head, body in told if head.startswith("POST /v1/query ")]


async def asked(door: Door, gateway: Gateway) -> Told:
    async with asyncio.timeout(TIMEOUT_S):
        return await door.ask(gateway, await gateway.bearer(), Progress(), "why")


# --- side by side ---------------------------------------------------------------------------------


def path_of(door: Door) -> str:
    return str(getattr(door, "path", ""))


def test_every_door_with_a_version_in_its_path_is_asked_here() -> None:
    """What agents call has revisions of its own, and stands at the root."""
    below_a_version = {name for name, one in DOORS.items() if path_of(one).startswith("/api/")}
    assert IN_V2.keys() == below_a_version


@versioned_door
async def test_each_version_takes_its_own_body_at_every_door(gateway: Gateway, name: str) -> None:
    """The core is asked the same by both; the answers are the same, too."""
    first, second = await asked(DOORS[name], gateway), await asked(IN_V2[name], gateway)
    assert (first.ends, second.ends) == ("done", "done")
    assert questions(gateway) == ["why", "why"]


@pytest.mark.parametrize(
    ("path", "field"), [("/api/v1/query", "question"), ("/api/v2/query", "query")]
)
async def test_neither_version_takes_the_others_body(
    gateway: Gateway, path: str, field: str
) -> None:
    headers = {**JSON, **await gateway.bearer()}
    body = json.dumps({field: "why"}).encode()
    answer = await exchange(gateway.address, request("POST", path, headers, body))
    assert (answer.status, answer.code) == (400, "VALIDATION_ERROR")


async def test_a_version_names_its_own_routes_in_its_answers(gateway: Gateway) -> None:
    """What an upload is to be followed by, and where OpenAI's clients find a document."""
    headers = {**JSON, **await gateway.bearer()}
    body = json.dumps({"filename": "a.txt", "size": 5, "content_type": "text/plain"}).encode()
    for prefix in ("/api/v1", "/api/v2"):
        made = await exchange(
            gateway.address, request("POST", f"{prefix}/documents", headers, body)
        )
        assert made.json()["complete_url"].startswith(f"{prefix}/documents/")
        wrong = request("POST", f"{prefix}/openai/v1/chat/completions", headers, b"{}")
        refused = await exchange(gateway.address, wrong)
        assert refused.json()["error"]["type"] == "invalid_request_error"


async def test_each_version_has_its_document(gateway: Gateway) -> None:
    """With its routes and its body; the whole one has those of both, and of the root."""
    found = {}
    for path in ("/openapi.json", "/api/v1/openapi.json", "/api/v2/openapi.json"):
        found[path] = (await exchange(gateway.address, request("GET", path))).json()
    whole, first, second = (set(one["paths"]) for one in found.values())
    assert {path for path in whole if path.startswith("/api/v1/")} == first
    assert {path for path in whole if path.startswith("/api/v2/")} == second
    assert {path.replace("v1", "v2", 1) for path in first} == second
    schemas = found["/api/v2/openapi.json"]["components"]["schemas"]
    assert "Question" in schemas
    assert "QueryRequest" not in schemas
    going = found["/api/v1/openapi.json"]["paths"]["/api/v1/query"]["post"]
    assert (going["deprecated"], going["x-sunset"]) == (True, "2028-01-01")
    assert "410" in going["responses"]


async def test_anybody_may_see_which_versions_there_are(gateway: Gateway) -> None:
    """And keep the list for a while."""
    answer = await exchange(gateway.address, request("GET", "/api"))
    assert answer.header("cache-control") == "public, max-age=3600"
    first, second = answer.json()["versions"]
    assert first == {
        "version": "v1",
        "path": "/api/v1",
        "state": "deprecated",
        "since": "2026-11-23T00:00:00Z",
        "deprecated": "2027-01-01T00:00:00Z",
        "sunset": "2028-01-01T00:00:00Z",
        "openapi": "/api/v1/openapi.json",
    }
    assert (second["version"], second["state"], second["sunset"]) == ("v2", "current", None)
    assert answer.json()["ending_routes"] == []
    gateway.clock.now = AFTER
    later = await exchange(gateway.address, request("GET", "/api"))
    assert [one["state"] for one in later.json()["versions"]] == ["ended", "current"]


# --- what is told of an end -----------------------------------------------------------------------


def told_of_the_end(headers: dict[str, str], successor: str) -> None:
    assert headers["deprecation"] == "@1798761600"
    assert headers["sunset"] == "Sat, 01 Jan 2028 00:00:00 GMT"
    assert headers["link"].split(", ") == [
        '</api>; rel="deprecation"; type="application/json"',
        '</api>; rel="sunset"; type="application/json"',
        f'<{successor}>; rel="successor-version"',
    ]


async def test_every_answer_of_a_version_that_ends_says_so(gateway: Gateway) -> None:
    """A stream's head, a refusal before anybody is known, and what is not there."""
    stream = await gateway.asking()
    told_of_the_end(stream.headers, "/api/v2/query")
    await stream.rest()
    stream.writer.close()
    some_id = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
    for path in ("/documents", f"/documents/{some_id}"):
        answer = await exchange(gateway.address, request("GET", f"/api/v1{path}"))
        assert answer.status == 401
        told_of_the_end(dict(answer.headers), f"/api/v2{path}")
    newer = await exchange(gateway.address, request("GET", "/api/v2/documents"))
    assert not {"deprecation", "sunset", "link"} & {name for name, _ in newer.headers}


async def test_an_upgrade_of_a_version_that_ends_says_so(gateway: Gateway) -> None:
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(request("GET", "/api/v1/query/ws", {**UPGRADE, **await gateway.bearer()}))
    async with asyncio.timeout(TIMEOUT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2]]
    told_of_the_end({name.lower(): text for name, text in lines}, "/api/v2/query/ws")


async def test_no_part_of_a_request_gets_into_a_link(gateway: Gateway) -> None:
    """An id that is not spelled as ids are has no successor."""
    headers = await gateway.bearer()
    answer = await exchange(gateway.address, request("GET", "/api/v1/documents/a%3E;b", headers))
    assert answer.status == 404
    assert "successor-version" not in (answer.header("link") or "")


async def test_who_still_uses_it_is_counted_and_logged(gateway: Gateway, lines: Lines) -> None:
    """By version; the line has who it was."""
    headers = await gateway.bearer()
    for prefix in ("/api/v1", "/api/v2"):
        await exchange(gateway.address, request("GET", f"{prefix}/auth/me", headers))
    told = {line["route"]: line.get("deprecated") for line in lines.requests()}
    assert (told["/api/v1/auth/me"], told["/api/v2/auth/me"]) == ("v1", None)
    page = gateway.application.worker_metrics.page().decode()
    assert 'gateway_deprecated_requests_total{version="v1"} 1' in page


# --- after the end --------------------------------------------------------------------------------


@versioned_door
async def test_after_its_sunset_a_version_is_gone_at_every_door(
    gateway: Gateway, name: str
) -> None:
    """Nobody's credential is looked at, and the newer version goes on."""
    gateway.clock.now = AFTER
    told = await asked(DOORS[name], gateway)
    assert told.ends == "GONE"
    assert told.status == 410
    assert told.error["details"]["successor"].startswith("/api/v2/")
    assert not questions(gateway)
    assert (await asked(IN_V2[name], gateway)).ends == "done"


async def test_gone_is_told_before_a_credential_is_looked_at(gateway: Gateway) -> None:
    gateway.clock.now = AFTER
    headers = {"Authorization": "Bearer nonsense"}
    answer = await exchange(gateway.address, request("GET", "/api/v1/documents", headers))
    assert (answer.status, answer.code) == (410, "GONE")
    assert_error_shape(answer)
    details = answer.json()["error"]["details"]
    assert (details["sunset"], details["versions"]) == ("2028-01-01T00:00:00Z", "/api")
    told_of_the_end(dict(answer.headers), "/api/v2/documents")
    root = await exchange(gateway.address, request("POST", "/auth/login", JSON, b"{}"))
    assert root.status == 400


async def test_a_socket_that_is_open_at_the_sunset_is_asked_no_more(gateway: Gateway) -> None:
    """It is told so by question, as a socket is of every refusal."""
    gateway.clock.now = AFTER - 60
    async with opened(gateway, await gateway.bearer()) as socket:
        await socket.ask()
        assert (await socket.answer())[-1]["event"] == "done"
        gateway.clock.now = AFTER
        await socket.ask("2")
        assert (await socket.error("2"))["code"] == "GONE"


async def test_agents_never_use_a_version_that_ends(gateway: Gateway) -> None:
    """Their tools stand for requests of the newest one."""
    gateway.clock.now = AFTER
    assert (await asked(DOORS["mcp"], gateway)).ends == "done"


async def test_grpc_stands_for_the_version_that_its_package_has(core: StubCore) -> None:
    """Its calls are told of that version's end, and end with it."""
    async with running_gateway(core, api=second_version(), **all_open()) as gateway:
        assert (await asked(DOORS["grpc"], gateway)).ends == "done"
        async with channel(gateway) as opened:
            call = asking(opened, await gateway.bearer(), "why")
            told = {name: str(text) for name, text in await call.initial_metadata()}
            told_of_the_end(told, "/api/v2/query")
            call.cancel()
        gateway.clock.now = AFTER
        ended = await asked(DOORS["grpc"], gateway)
    assert (ended.ends, ended.error["details"]["successor"]) == ("GONE", "/api/v2/query")


async def test_an_operator_may_serve_what_has_ended(core: StubCore) -> None:
    """With all that is told of it."""
    async with running_gateway(
        core, api=second_version(), SERVE_ENDED_VERSIONS="true", PUBLIC_URL="https://kb.example.com"
    ) as gateway:
        gateway.clock.now = AFTER
        answer = await exchange(
            gateway.address, request("GET", "/api/v1/auth/me", await gateway.bearer())
        )
    assert answer.status == 200
    assert '<https://kb.example.com/api/v2/auth/me>; rel="successor-version"' in (
        answer.header("link") or ""
    )


async def test_a_route_may_end_before_its_version(core: StubCore) -> None:
    """And at the root, too: it says so by itself."""
    ending = Ending(DEPRECATED, SUNSET, successor="/api/v2/search")
    asking = Blueprint("query", url_prefix="/query")
    (declared,) = declared_on(query.blueprint)
    own = replace(declared.endpoint, ending=ending)
    declared_on(asking).append(declared._replace(endpoint=own))
    groups = (asking if one is query.blueprint else one for one in API.groups)
    async with running_gateway(core, api=Api((V2,), tuple(groups))) as gateway:
        listed = (await exchange(gateway.address, request("GET", "/api"))).json()
        assert listed["versions"][0]["state"] == "current"
        assert listed["ending_routes"] == [
            {
                "method": "POST",
                "path": "/api/v2/query",
                "state": "deprecated",
                "deprecated": "2027-01-01T00:00:00Z",
                "sunset": "2028-01-01T00:00:00Z",
                "successor": "/api/v2/search",
            }
        ]
        stream = await gateway.asking(path="/api/v2/query")
        assert stream.headers["deprecation"] == "@1798761600"
        await stream.rest()
        stream.writer.close()
