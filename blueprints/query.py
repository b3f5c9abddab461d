"""Asking the knowledge base: the answer as a stream of events, or as one JSON document."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from gateway.edge.context import context_of
from gateway.edge.http.accept import weights
from gateway.edge.http.cache_fields import add_cache_status, cache_control
from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.http.render import json_response
from gateway.edge.scope import scope_of
from gateway.errors import (
    CoreProtocolError,
    CoreTimeout,
    CoreTruncated,
    CoreUnavailable,
    CredentialRevoked,
    Draining,
    EventTooLarge,
    FirstEventTimeout,
    GatewayError,
    NotFound,
    QuotaExceeded,
    StreamIdleTimeout,
    StreamMaxDuration,
)
from gateway.flows.answer_stream import Query
from gateway.flows.json_answer import QueryAnswer, collect
from gateway.flows.recheck import Recheck

blueprint = Blueprint("query", url_prefix="/query")

_UNWATCHED: Final = nullcontext()

# The length is given too: ``$`` lets a line feed follow.
Uuid7 = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        max_length=36,
    ),
]


class QueryRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is asked. ``document_ids`` narrows the search to some of your documents."""

    query: Annotated[str, Meta(min_length=1, max_length=8192)]
    top_k: Annotated[int, Meta(ge=1, le=50)] | msgspec.UnsetType = msgspec.UNSET
    document_ids: Annotated[list[Uuid7], Meta(max_length=100)] | msgspec.UnsetType = msgspec.UNSET
    conversation_id: Uuid7 | msgspec.UnsetType = msgspec.UNSET
    stream: bool = True

    def for_core(self) -> dict[str, Any]:
        """The core's body: what was asked, without how the answer is to travel."""
        body: dict[str, Any] = msgspec.to_builtins(self)
        body.pop("stream", None)
        return body


class StreamEvent(msgspec.Struct, frozen=True):
    """One event of the stream; ``data`` is JSON, for ``error`` an ``Error``.

    Exactly one ``done`` or ``error`` comes last. Comments keep the connection alive.
    """

    event: Literal["meta", "sources", "token", "citation", "usage", "done", "error"]
    data: str


# What can go wrong with an answer, before it begins or in the middle.
ANSWER_ERRORS: tuple[type[GatewayError], ...] = (
    NotFound,
    CoreUnavailable,
    CoreProtocolError,
    CoreTimeout,
    CoreTruncated,
    FirstEventTimeout,
    StreamIdleTimeout,
    StreamMaxDuration,
    EventTooLarge,
    Draining,
    CredentialRevoked,
    QuotaExceeded,
)


@route(
    blueprint,
    "POST",
    "",
    action="query:run",
    name="query",
    kind="stream",
    door="sse",
    summary="Ask, and read the answer as it streams",
    body=QueryRequest,
    successes=(
        Success(
            200,
            "The answer; as a stream it is sent as `text/event-stream; charset=utf-8`.",
            StreamEvent,
            content_type="text/event-stream",
        ),
        Success(200, "The answer.", QueryAnswer),
    ),
    errors=ANSWER_ERRORS,
)
async def ask(
    request: Request, query: Query, streams: OpenStreams, recheck: Recheck, body: QueryRequest
) -> HTTPResponse | None:
    scope = scope_of(request)
    scope.upstream = "core"
    expires_at = scope.caller.expires_at
    streamed = body.stream and not prefers_json(request)
    if not streamed:
        scope.door = "json"
    asked_of = "" if query.answers is None else cache_control(request)
    answer = query.open(
        scope.on_behalf_of(),
        body.for_core(),
        token_expires_at=expires_at,
        cache_control=asked_of,
    )
    del body  # it is not kept while the stream runs
    watched: AbstractContextManager[None] = _UNWATCHED
    if not (streamed and streams.gives_at_once(request, answer)):
        watched = recheck.watching(scope.give_grant(recheck.retain), answer)
    with streams.under_way(request, answer), watched:
        async with answer:
            if streamed:
                await streams.relay(request, answer)
                return None
            limit_bytes = context_of(request.app).answer_limit_bytes
            found = await collect(answer, streams.ticker, limit_bytes=limit_bytes)
            response = json_response(msgspec.to_builtins(found))
            add_cache_status(response, answer)
            return response


def prefers_json(request: Request) -> bool:
    """``Accept: application/json`` asks for one document, unless event streams are named too."""
    wanted = weights(",".join(request.headers.getall("accept", [])))
    return wanted.get("application/json", 0.0) > 0.0 and "text/event-stream" not in wanted
