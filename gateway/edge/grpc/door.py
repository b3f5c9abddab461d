"""From a call to its route or its answer, and what a worker keeps of all its calls.

A call goes the way of any request. First who calls is looked at, by the metadata alone: what a
client sends before it is known is not even read. Then its message is, and then the policy and the
limits see the request of the API that the call stands for. To grpc every method therefore takes a
stream of messages, of which one is read; on the wire that is the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
from sanic import Request, Sanic
from sanic_routing import Route

from gateway.edge.grpc.call import Call, GivenBody, stand_in
from gateway.edge.grpc.methods import Method
from gateway.edge.grpc.open_calls import OpenCalls
from gateway.edge.grpc.peer import Context
from gateway.edge.grpc.status import refuse
from gateway.edge.http.bodies import ASK_AGAIN_AFTER_S
from gateway.edge.http.pipeline import Pipeline
from gateway.edge.http.render import noted
from gateway.edge.observe import access_log
from gateway.edge.scope import now_s
from gateway.edge.wire.connections import Connections
from gateway.errors import MalformedRequest, RequestTimedOut

# The name of the task that waits for a call's message.
READING = "a grpc call's message"
# The log's status of a call whose client left before it was answered.
LEFT = 408

# Answers a call whose request was allowed, by its message's fields; streams, or gives the message.
Answers = Callable[[Call, Mapping[str, Any]], Awaitable[bytes | None]]


class GrpcCalls:
    """The door; one per worker.

    Attributes:
        open: calls that grpc has not ended yet.
        under_way: calls that were not answered yet.
    """

    def __init__(self, app: Sanic[Any, Any], pipeline: Pipeline, connections: Connections) -> None:
        """``connections`` are those over HTTP, whose limits hold here, too."""
        self._app = app
        self._pipeline = pipeline
        self._body_s = connections.limits.body_s
        self._body_limit_bytes = connections.limits.body_bytes
        self.open = OpenCalls(connections)
        self.under_way = 0
        self._readings: set[asyncio.Task[Any]] = set()

    def handlers(
        self, methods: Sequence[Method], streamed: Mapping[Method, Answers]
    ) -> list[grpc.GenericRpcHandler]:
        """What a server of grpc calls: ``methods`` are answered by their routes."""
        by_service: dict[str, dict[str, Any]] = {}
        for method in methods:
            service, name = method.name
            serving = self._serving(method, _by_route(method))
            by_service.setdefault(service, {})[name] = grpc.stream_unary_rpc_method_handler(serving)
        for method, answers in streamed.items():
            service, name = method.name
            serving = self._serving(method, answers)
            by_service.setdefault(service, {})[name] = grpc.stream_stream_rpc_method_handler(
                serving
            )
        return [
            grpc.method_handlers_generic_handler(service, by_name)
            for service, by_name in by_service.items()
        ]

    def _serving(self, method: Method, answers: Answers) -> Callable[[object, Context], Any]:
        async def serve(_messages: object, context: Context) -> bytes | None:
            return await self._serve(method, answers, context)

        return serve

    async def _serve(self, method: Method, answers: Answers, context: Context) -> bytes | None:
        call = Call(self._pipeline, self._made(method.route, context, "/"), context)
        scope = self._pipeline.open_scope(call.request)
        scope.door = "grpc"
        self.under_way += 1
        answer = None
        try:
            call.open = self.open.begin(context, scope.client_ip)
            answer = await answers(call, await self._admit(call, method))
        except (asyncio.CancelledError, grpc.aio.InternalError):
            # Its client has left: grpc ends what answers it, or could send no more just before.
            self._over(call, LEFT)
            raise
        except Exception as failure:
            call.ends_with = noted(call.request, failure)
        self._over(call, 200 if call.ends_with is None else call.ends_with.status)
        if call.ends_with is not None:
            # Behind the log's line: a client that reads nothing may let this wait.
            await refuse(context, call.ends_with, call.scope.request_id)
        return answer

    def _over(self, call: Call, status: int) -> None:
        scope = call.scope
        self.under_way -= 1
        if call.open is not None:
            self.open.answered(call.open, stalled=scope.stream_end == "client_stalled")
        scope.give_back()
        # An answer that has begun is logged as over HTTP: what ended it is told beside.
        begun = scope.first_byte_s is not None
        access_log.write(call.request, scope, 200 if begun else status, scope.sent_bytes)

    async def _admit(self, call: Call, method: Method) -> Mapping[str, Any]:
        """Who calls, then what is asked, then whether he may.

        Raises:
            GatewayError: what refuses it.
        """
        await self._pipeline.let_in(call.request)
        fields = method.read(await self._message(call))
        target, arguments, body = method.asked(fields)
        scope = call.scope
        call.request = self._made(method.route, call.context, target, body, **arguments)
        call.request.ctx.scope = scope
        await self._pipeline.allow(call.request)
        return fields

    async def _message(self, call: Call) -> bytes:
        began_s = now_s()
        message = await self._read(call.context)
        if not isinstance(message, bytes):
            raise MalformedRequest("A call has a message.")
        waited_s = now_s() - began_s
        call.scope.leave_out(waited_s)
        if waited_s > ASK_AGAIN_AFTER_S:
            await self._pipeline.let_in(call.request)
        return message

    async def _read(self, context: Context) -> Any:
        """One cancelled would free what grpc's core still writes to: it ends with its call.

        Raises:
            RequestTimedOut
        """
        reading: asyncio.Task[Any] = asyncio.create_task(context.read(), name=READING)
        self._readings.add(reading)
        reading.add_done_callback(self._read_over)
        await asyncio.wait({reading}, timeout=self._body_s)
        if not reading.done():
            raise RequestTimedOut
        return reading.result()

    def _read_over(self, reading: asyncio.Task[Any]) -> None:
        self._readings.discard(reading)
        # What it raised is told to nobody where its call was refused or left meanwhile.
        if not reading.cancelled():
            reading.exception()

    def _made(
        self,
        route: Route,
        context: Context,
        target: str,
        body: bytes | None = None,
        **arguments: str,
    ) -> Request:
        given = GivenBody(body, self._body_limit_bytes)
        return stand_in(self._app, route, context, target, given, **arguments)


def _by_route(method: Method) -> Answers:
    async def answer(call: Call, _fields: Mapping[str, Any]) -> bytes:
        response = await method.handler(call.request, **call.request.match_info)
        message = method.told(response).SerializeToString()
        call.scope.sent_bytes = len(message)
        await call.begin()
        return message

    return answer
