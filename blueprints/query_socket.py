"""Asking over a WebSocket: several questions at once, their events as messages of JSON."""

from __future__ import annotations

from typing import Any, Literal, Protocol, cast

import msgspec
from sanic import Blueprint, Request

from blueprints.query import QueryRequest
from gateway.domain.actions import SOCKET
from gateway.edge.context import context_of
from gateway.edge.http.endpoint import Handler, Success, route, version_of
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.ws.door import Sockets, requests_for
from gateway.edge.ws.messages import Ask, QuestionId
from gateway.edge.ws.question import Question
from gateway.edge.ws.session import Asking
from gateway.errors import (
    AmbiguousCredentials,
    Draining,
    Forbidden,
    StorageUnavailable,
    TokenExpired,
    Unauthenticated,
    UpgradeRequired,
)
from gateway.flows.answer_stream import Query
from gateway.flows.json_answer import collect
from gateway.flows.recheck import Recheck

blueprint = Blueprint("query_socket", url_prefix="/query")


class AskMessage(QueryRequest, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question as a message: the fields of ``POST /query``, a type and an id."""

    type: Literal["ask"]
    id: QuestionId

    def for_core(self) -> dict[str, Any]:
        body = super().for_core()
        return {name: body[name] for name in body if name not in ("type", "id")}


class Asked(Ask, Protocol):
    """A question of any version: what it says of its answer, and what the core is asked."""

    @property
    def stream(self) -> bool: ...

    def for_core(self) -> dict[str, Any]: ...


def sockets_for(shape: type[Asked]) -> Handler:
    """What serves the sockets of a version whose questions have this shape."""

    async def open_socket(
        request: Request, sockets: Sockets, query: Query, streams: OpenStreams, recheck: Recheck
    ) -> None:
        limit_bytes = context_of(request.app).answer_limit_bytes

        async def answer(question: Question) -> None:
            scope, ask = question.scope, cast(Asked, question.ask)
            scope.upstream = "core"
            expires_at = scope.caller.expires_at
            opened = query.open(scope.on_behalf_of(), ask.for_core(), token_expires_at=expires_at)
            grant = scope.give_grant(recheck.retain)
            with streams.counting(scope, opened), recheck.watching(grant, opened):
                async with opened:
                    if ask.stream:
                        await question.relay(opened, streams.ticker)
                        return
                    found = await collect(opened, streams.ticker, limit_bytes=limit_bytes)
                    question.tell("answer", msgspec.to_builtins(found))

        asking = Asking(
            shape=shape,
            answer=answer,
            make_request=requests_for(request, "POST", f"{version_of(request).prefix}/query"),
            recheck=recheck,
            lifetime_s=sockets.lifetime_s,
        )
        await sockets.serve(request, asking)

    return open_socket


route(
    blueprint,
    "GET",
    "/ws",
    action=None,
    public_action=SOCKET,
    name="query_socket",
    kind="socket",
    door="ws",
    summary="Ask several questions on one WebSocket",
    successes=(
        Success(
            101,
            "The connection speaks WebSocket from here on, subprotocol `kbg.v1`: see"
            " `docs/websocket.md`.",
        ),
    ),
    errors=(
        UpgradeRequired,
        Unauthenticated,
        TokenExpired,
        AmbiguousCredentials,
        Forbidden,
        StorageUnavailable,
        Draining,
    ),
)(sockets_for(AskMessage))
