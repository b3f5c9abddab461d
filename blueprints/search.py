"""Searching without an answer: the passages that fit, for programs that write the rest."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from blueprints.query import Uuid7
from gateway.domain.core_records import MOST_PASSAGES
from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.render import json_response
from gateway.edge.scope import scope_of
from gateway.errors import CoreLacks, CoreProtocolError, CoreTimeout, CoreUnavailable
from gateway.flows.search import Found, Search

blueprint = Blueprint("search", url_prefix="/search")


class SearchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is looked for. ``document_ids`` narrows the search to some of your documents."""

    query: Annotated[str, Meta(min_length=1, max_length=8192)]
    top_k: Annotated[int, Meta(ge=1, le=MOST_PASSAGES)] | msgspec.UnsetType = msgspec.UNSET
    document_ids: Annotated[list[Uuid7], Meta(max_length=100)] | msgspec.UnsetType = msgspec.UNSET

    def for_core(self) -> dict[str, Any]:
        body: dict[str, Any] = msgspec.to_builtins(self)
        return body


@route(
    blueprint,
    "POST",
    "",
    action="search:run",
    name="search",
    summary="Find passages, without an answer",
    body=SearchRequest,
    successes=(Success(200, "The passages, best first.", Found),),
    errors=(CoreLacks, CoreUnavailable, CoreProtocolError, CoreTimeout),
)
async def search(request: Request, finder: Search, body: SearchRequest) -> HTTPResponse:
    scope = scope_of(request)
    scope.upstream = "core"
    found = await finder.find(scope.on_behalf_of(), body.for_core())
    return json_response(msgspec.to_builtins(found))
