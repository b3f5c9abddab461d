"""The gRPC services: which route each method stands for, and the one that streams.

No route is declared here. A method of one message is answered by a route of the HTTP API, whose
action, body and answer are declared there; ``Ask`` asks as ``POST /query`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import grpc
import msgspec
from sanic import Sanic

from blueprints.query import QueryRequest
from gateway.domain.strict_json import read_json
from gateway.domain.versions import prefix_of
from gateway.edge.context import context_of
from gateway.edge.grpc.answers import relay
from gateway.edge.grpc.call import Call
from gateway.edge.grpc.door import GrpcCalls
from gateway.edge.grpc.methods import Method
from gateway.edge.http.cache_fields import cache_control
from gateway.edge.http.event_streams import OpenStreams
from gateway.flows.answer_stream import Query
from gateway.flows.recheck import Recheck


class Stands(NamedTuple):
    """The route that a method stands for; ``wrapped``: the answer's field that has all its JSON."""

    http: str
    path: str
    wrapped: str | None = None


# The messages of the package `knowledge.gateway.v1` have the fields of this version of the API.
PREFIX: Final = prefix_of(1)
_DOCUMENT: Final = "/documents/<document_id:str>"
_KEY: Final = "/keys/<key_id:str>"
ASK: Final = "QueryService/Ask"
METHODS: Final[Mapping[str, Stands]] = {
    "AuthService/Login": Stands("POST", "/auth/login"),
    "AuthService/Logout": Stands("POST", "/auth/logout"),
    "AuthService/Me": Stands("GET", "/auth/me"),
    "DocumentsService/CreateDocument": Stands("POST", "/documents"),
    "DocumentsService/SignParts": Stands("POST", f"{_DOCUMENT}/parts"),
    "DocumentsService/CompleteDocument": Stands("POST", f"{_DOCUMENT}/complete"),
    "DocumentsService/ListDocuments": Stands("GET", "/documents"),
    "DocumentsService/GetDocument": Stands("GET", _DOCUMENT, "document"),
    "DocumentsService/GetContent": Stands("GET", f"{_DOCUMENT}/content"),
    "DocumentsService/DeleteDocument": Stands("DELETE", _DOCUMENT),
    "KeysService/CreateKey": Stands("POST", "/keys", "key"),
    "KeysService/ListKeys": Stands("GET", "/keys"),
    "KeysService/RotateKey": Stands("POST", f"{_KEY}/rotate", "key"),
    "KeysService/RevokeKey": Stands("DELETE", _KEY),
    "SearchService/Search": Stands("POST", "/search"),
    ASK: Stands("POST", "/query"),
}


def handlers(
    app: Sanic[Any, Any], calls: GrpcCalls, stall_s: float
) -> list[grpc.GenericRpcHandler]:
    """What a server of grpc calls; ``stall_s`` is how long a client may take no message."""
    methods = {name: method_of(app, name) for name in METHODS}
    streamed = {methods.pop(ASK): _asking(stall_s)}
    return calls.handlers(list(methods.values()), streamed)


def method_of(app: Sanic[Any, Any], name: str) -> Method:
    """The method with the route of ``app`` that it stands for."""
    stands = METHODS[name]
    return Method(app, name, stands.http, f"{PREFIX}{stands.path}", stands.wrapped)


def _asking(stall_s: float) -> Any:
    async def ask(call: Call, fields: Mapping[str, Any]) -> None:
        body = read_json(msgspec.json.encode(fields), QueryRequest)
        provided: Mapping[type, Any] = context_of(call.request.app).provided
        query: Query = provided[Query]
        streams: OpenStreams = provided[OpenStreams]
        recheck: Recheck = provided[Recheck]
        scope = call.scope
        scope.upstream = "core"
        answer = query.open(
            scope.on_behalf_of(),
            body.for_core(),
            token_expires_at=scope.caller.expires_at,
            cache_control="" if query.answers is None else cache_control(call.request),
        )
        del body, fields  # neither is kept while the stream runs
        grant = scope.give_grant(recheck.retain)
        with streams.counting(scope, answer), recheck.watching(grant, answer):
            async with answer:
                await relay(call, answer, streams.ticker, stall_s)

    return ask
