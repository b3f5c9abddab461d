"""One call: the request that stands for it in the pipeline, and what its client is told first."""

from __future__ import annotations

from typing import Any, Final, cast

from sanic import Request
from sanic.compat import Header
from sanic_routing import Route

from gateway.edge.grpc.open_calls import OpenCall
from gateway.edge.grpc.peer import Context, address_of
from gateway.edge.grpc.status import REQUEST_ID
from gateway.edge.http.pipeline import Pipeline
from gateway.edge.scope import Scope, scope_of
from gateway.edge.wire.request import GatewayRequest
from gateway.errors import GatewayError, PayloadTooLarge
from gateway.flows.answer_stream import Answer

# What of a call's metadata is read at all: who asks, where from, its trace, how often.
TAKEN: Final = frozenset(
    {
        *("authorization", "x-api-key", "x-request-id", "traceparent", "x-forwarded-for"),
        *("forwarded", "idempotency-key", "cache-control"),
    }
)


class Peer:
    """Where a call comes from, as Sanic's connections say it."""

    __slots__ = ("client_ip",)

    def __init__(self, client_ip: str) -> None:
        self.client_ip = client_ip


class GivenBody:
    """Stands for the connection that a request's body comes on: it is here already."""

    expecting_continue = False

    def __init__(self, body: bytes | None, limit_bytes: int) -> None:
        self._body = body
        self.body_limit_bytes = limit_bytes

    @property
    def request_body(self) -> bool:
        return self._body is not None

    @property
    def protocol(self) -> GivenBody:
        return self

    def body_at_hand(self, limit_bytes: int) -> bytes:
        body = self._body or b""
        if len(body) > limit_bytes:
            raise PayloadTooLarge
        return body


class Call:
    """A call under way.

    Attributes:
        request: what stands for it; once its message is read, that of the resource it names.
        ends_with: what its answer ended badly with, once that is so.
        open: its place among the open calls, once it has one.
    """

    __slots__ = ("_pipeline", "context", "ends_with", "open", "request")

    def __init__(self, pipeline: Pipeline, request: Request, context: Context) -> None:
        self._pipeline = pipeline
        self.request = request
        self.context = context
        self.ends_with: GatewayError | None = None
        self.open: OpenCall | None = None

    @property
    def scope(self) -> Scope:
        return scope_of(self.request)

    async def begin(self, answer: Answer | None = None) -> None:
        """Sends the initial metadata: the request's id, and what the headers of HTTP say."""
        pairs = [(REQUEST_ID, self.scope.request_id)]
        if (fields := self._pipeline.limit_fields(self.scope)) is not None:
            pairs += zip(("ratelimit-policy", "ratelimit"), fields, strict=True)
        told = self._pipeline.ending_fields(self.request)
        pairs += [(name.lower(), text) for name, text in told]
        if answer is not None and answer.cached is not None:
            pairs.append(("cache-status", answer.cached.status))
        await self.context.send_initial_metadata(tuple(pairs))


def stand_in(
    app: Any, route: Route, context: Context, target: str, body: GivenBody, **arguments: str
) -> Request:
    """The request of ``route`` that a call stands for, for ``target``, its path and query."""
    metadata: Any = context.invocation_metadata() or ()
    pairs = [(name, text) for name, text in metadata if name in TAKEN and isinstance(text, str)]
    if body.request_body:
        pairs.append(("content-type", "application/json"))
    (method,) = set(route.methods) - {"HEAD"}
    made = GatewayRequest(target.encode("ascii"), Header(pairs), "2", method, None, app)
    made.route = route
    # Of both only what these two have is asked for.
    made.stream, made.conn_info = cast(Any, body), cast(Any, Peer(address_of(context.peer())))
    made._match_info = arguments
    return made
