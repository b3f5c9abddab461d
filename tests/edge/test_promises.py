"""What clients are promised is kept: a change that breaks one fails here, and says what to do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from devstack.components import find_program
from tools import openapi_snapshot
from tools.openapi_snapshot import Change, advice, breaking, changes, promises, write

from ..components import missing_components
from .conftest import Gateway

Bend = Callable[[dict[str, Any]], object]
QUERY, KEYS = "/api/v1/query", "/api/v1/keys"
DOCUMENTS = "/api/v1/documents"
CONTENT = f"{DOCUMENTS}/{{document_id}}/content"


@cache
def made() -> dict[str, dict[str, Any]]:
    return promises()


@pytest.fixture
def oasdiff() -> None:
    if find_program("oasdiff") is None:
        missing_components(openapi_snapshot.NoOasdiff("no oasdiff: python -m devstack.fetch"))


def bent(name: str, bend: Bend) -> str:
    """What a client would notice, if ``bend`` were done to what is promised there."""
    now = copy.deepcopy(made()[name])
    bend(now)
    assert now != made()[name]
    return breaking(name, made()[name], now)


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def test_no_client_breaks_and_what_is_kept_is_what_there_is() -> None:
    """If this fails, its message says whether it is for a new version, or what to run."""
    told = advice(changes(made()))
    assert not told, told


async def test_what_is_kept_is_what_is_served(gateway: Gateway) -> None:
    """The document of a gateway whose settings are the defaults."""
    served = (await gateway.client.get("/api/v1/openapi.json")).json()
    assert served == made()["v1/openapi.json"]


BREAKS: dict[str, tuple[str, Bend]] = {
    "a route goes": ("v1/openapi.json", lambda one: one["paths"].pop(KEYS)),
    "a method goes": ("v1/openapi.json", lambda one: one["paths"][KEYS].pop("get")),
    "a field of a body goes": (
        "v1/openapi.json",
        lambda one: schema(one, "QueryRequest")["properties"].pop("top_k"),
    ),
    "a field of a body must be there": (
        "v1/openapi.json",
        lambda one: schema(one, "QueryRequest")["required"].append("top_k"),
    ),
    "a limit is narrower": (
        "v1/openapi.json",
        lambda one: schema(one, "QueryRequest")["properties"]["query"].update(maxLength=100),
    ),
    "a field of an answer goes": (
        "v1/openapi.json",
        lambda one: (
            schema(one, "Token")["properties"].pop("expires_at"),
            schema(one, "Token")["required"].remove("expires_at"),
        ),
    ),
    "a field of an answer has another type": (
        "v1/openapi.json",
        lambda one: schema(one, "Token")["properties"]["expires_in"].update(type="string"),
    ),
    "a good status goes": (
        "v1/openapi.json",
        lambda one: one["paths"]["/api/v1/auth/logout"]["post"]["responses"].pop("204"),
    ),
    "a redirect goes": (
        "v1/openapi.json",
        lambda one: one["paths"][CONTENT]["get"]["responses"].pop("302"),
    ),
    "a value of an answer's field goes": (
        "v1/openapi.json",
        lambda one: schema(one, "Document")["properties"]["status"]["enum"].remove("failed"),
    ),
    "an answer's field has one value more": (
        "v1/openapi.json",
        lambda one: schema(one, "Document")["properties"]["status"]["enum"].append("paused"),
    ),
    "a parameter must be there": (
        "v1/openapi.json",
        lambda one: one["paths"][DOCUMENTS]["get"]["parameters"][0].update(required=True),
    ),
    "a field is spelled otherwise": (
        "v1/openapi.json",
        lambda one: schema(one, "QueryRequest")["properties"]["query"].update(pattern="^[a-z]*$"),
    ),
    "what is done where nothing is said": (
        "v1/openapi.json",
        lambda one: schema(one, "QueryRequest")["properties"]["stream"].update(default=False),
    ),
    "the shape of errors": (
        "v1/openapi.json",
        lambda one: (
            schema(one, "Error")["properties"].pop("error"),
            schema(one, "Error").pop("required"),
        ),
    ),
    "an answer of another kind": (
        "v1/openapi.json",
        lambda one: one["paths"][QUERY]["post"]["responses"]["200"]["content"].pop(
            "text/event-stream"
        ),
    ),
    "a message of a socket": (
        "v1/messages.json",
        lambda one: schema(one, "AskMessage")["properties"].pop("stream"),
    ),
    "a tool's argument": (
        "root/messages.json",
        lambda one: schema(one, "AskArguments")["properties"].pop("top_k"),
    ),
    "a code goes": ("v1/meanings.json", lambda one: one["error_codes"].pop("CONFLICT")),
    "a code's status": ("v1/meanings.json", lambda one: one["error_codes"].update(CONFLICT=400)),
    "an event goes": ("v1/meanings.json", lambda one: one["events"].pop("citation")),
    "what a case tells a client": (
        "v1/meanings.json",
        lambda one: one["cases at sse"].update(dict.fromkeys(one["cases at sse"], "0")),
    ),
    "a revision of MCP goes": (
        "root/meanings.json",
        lambda one: one["mcp_revisions"].popitem(),
    ),
}


@pytest.mark.usefixtures("oasdiff")
@pytest.mark.parametrize("what", BREAKS)
def test_what_breaks_a_client_is_found(what: str) -> None:
    assert bent(*BREAKS[what])


BREAKS_NOBODY: dict[str, tuple[str, Bend]] = {
    "a new route": (
        "v1/openapi.json",
        lambda one: one["paths"].update({"/api/v1/new": one["paths"][KEYS]}),
    ),
    "a field of a body may be there": (
        "v1/openapi.json",
        lambda one: schema(one, "QueryRequest")["properties"].update(new={"type": "string"}),
    ),
    "a wider limit": (
        "v1/openapi.json",
        lambda one: schema(one, "QueryRequest")["properties"]["query"].update(maxLength=9999),
    ),
    "a new field of an answer": (
        "v1/openapi.json",
        lambda one: schema(one, "Token")["properties"].update(new={"type": "string"}),
    ),
    "a new code": (
        "v1/openapi.json",
        lambda one: schema(one, "Error")["properties"]["error"]["properties"]["code"][
            "enum"
        ].append("NEW"),
    ),
    "a new event": (
        "v1/openapi.json",
        lambda one: schema(one, "StreamEvent")["properties"]["event"]["enum"].append("new"),
    ),
    "other words": (
        "v1/openapi.json",
        lambda one: one["paths"][KEYS]["get"].update(summary="Other words"),
    ),
    "the meaning of a new code": (
        "v1/meanings.json",
        lambda one: one["error_codes"].update(NEW=418),
    ),
}


@pytest.mark.usefixtures("oasdiff")
@pytest.mark.parametrize("what", BREAKS_NOBODY)
def test_what_breaks_nobody_passes(what: str) -> None:
    assert bent(*BREAKS_NOBODY[what]) == ""


def test_whoever_changes_a_promise_is_told_what_to_do(tmp_path: Any) -> None:
    """What breaks is refused; what does not is written by a command, and then all is well."""
    write(changes(made(), tmp_path), tmp_path)
    assert changes(made(), tmp_path) == []
    more = copy.deepcopy(made())
    more["v1/meanings.json"]["events"]["new"] = True
    (harmless,) = changes(more, tmp_path)
    assert "run `python -m tools.openapi_snapshot`" in advice([harmless])
    write([harmless], tmp_path)
    (harmful,) = changes(made(), tmp_path)
    assert harmful == Change("v1/meanings.json", made()["v1/meanings.json"], "events: new is gone")
    assert "docs/versions.md" in advice([harmless, harmful])
