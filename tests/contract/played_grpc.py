"""The core that a test plays, over gRPC: a real server of grpc.aio, and what asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from gateway.adapters.core_grpc import CoreGrpc
from gateway.adapters.core_grpc_connections import GrpcConnections
from gateway.adapters.core_grpc_messages import ROLES
from gateway.adapters.core_proto import core_pb2 as pb
from gateway.domain.balancing import Balancer
from gateway.http_client.slots import Slots

from .played_core import (
    BODY_LIMIT_BYTES,
    PATIENT,
    Asked,
    Call,
    Event,
    Played,
    Protocol,
    Script,
    in_json,
    wire_to,
)

EVENT_LIMIT_BYTES = 1 << 20
STATUSES = {
    "processing": pb.DOCUMENT_STATUS_PROCESSING,
    "indexed": pb.DOCUMENT_STATUS_INDEXED,
    "odd": 99,
}
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    502: grpc.StatusCode.UNAVAILABLE,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
SPEAKING_ROLES = {number: name for name, number in ROLES.items()}


class GrpcCall(Call):
    def __init__(self, context: Any, asked: Asked, played: Played) -> None:
        super().__init__(asked, played)
        self.context = context
        self.answer: Message | None = None

    async def head(self, revision: str = "r.1") -> None:
        await self.context.send_initial_metadata((("x-kb-corpus-revision", revision),))

    async def send(self, *events: Event) -> None:
        made = [
            pb.Event(name=name, data=in_json(data), id="".join(ids)) for name, data, *ids in events
        ]
        await self.context.write(pb.QueryResponse(events=made))

    async def reply(self, answer: Mapping[str, Any], revision: str | None = None) -> None:
        if revision is not None:
            await self.head(revision)
        self.answer = MADE[self.asked.call](answer)

    async def refuse(
        self, status: int, code: str | None = None, retry_after_s: int | None = None
    ) -> NoReturn:
        details = []
        if code is not None:
            details.append(error_details_pb2.ErrorInfo(reason=code, domain="test"))
        if retry_after_s is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.seconds = retry_after_s
            details.append(retry)
        packed = []
        for one in details:
            packed.append(any_pb2.Any())
            packed[-1].Pack(one)
        trailing = status_pb2.Status(code=CODES[status].value[0], details=packed)
        metadata = (("grpc-status-details-bin", trailing.SerializeToString()),)
        await self.context.abort(CODES[status], "upstream secret", metadata if packed else ())
        raise AssertionError("abort raises")


def _document(record: Mapping[str, Any]) -> pb.Document:
    return pb.Document(**{**record, "status": STATUSES[record["status"]]})


def _page(answer: Mapping[str, Any]) -> Message:
    documents = map(_document, answer["documents"])
    return pb.ListDocumentsResponse(documents=documents, next_cursor=answer["next_cursor"])


MADE = {
    "search": lambda one: pb.SearchResponse(passages=[pb.Passage(**p) for p in one["passages"]]),
    "revision": lambda one: pb.GetRevisionResponse(revision=one["revision"]),
    "list": _page,
    "get": lambda one: pb.GetDocumentResponse(document=_document(one)),
    "delete": lambda _: pb.DeleteDocumentResponse(),
    "health": lambda _: health_pb2.HealthCheckResponse(
        status=health_pb2.HealthCheckResponse.SERVING
    ),
}
REQUESTS: dict[str, tuple[str, type[Message]]] = {
    "Search": ("search", pb.SearchRequest),
    "GetRevision": ("revision", pb.GetRevisionRequest),
    "ListDocuments": ("list", pb.ListDocumentsRequest),
    "GetDocument": ("get", pb.GetDocumentRequest),
    "DeleteDocument": ("delete", pb.DeleteDocumentRequest),
}


def _body(request: Message) -> dict[str, Any]:
    """The JSON body that a message stands for."""
    body: dict[str, Any] = MessageToDict(
        request, preserving_proto_field_name=True, use_integers_for_enums=True
    )
    if isinstance(request, pb.QueryRequest | pb.SearchRequest) and "document_ids" in body:
        body["document_ids"] = list(request.document_ids.ids)
    for message in body.get("messages", ()):
        message["role"] = SPEAKING_ROLES[message["role"]]
    return body


class Grpc(Protocol):
    name, scheme = "grpc", "grpc"

    @asynccontextmanager
    async def playing(self, script: Script) -> AsyncIterator[Played]:
        server = grpc.aio.server()
        played = Played(self.scheme, script, server)
        server.add_generic_rpc_handlers(_handlers(played))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with wire_to(port) as played.wire:
                yield played
        finally:
            await server.stop(None)

    @asynccontextmanager
    async def client(
        self, cores: Sequence[str] | Balancer, **options: Any
    ) -> AsyncIterator[tuple[CoreGrpc, Slots]]:
        connections = GrpcConnections(
            limit=options.pop("limit", 10),
            message_limit_bytes=options.pop("body_limit_bytes", BODY_LIMIT_BYTES),
            event_limit_bytes=options.pop("event_limit_bytes", EVENT_LIMIT_BYTES),
            credentials=_none,
            keepalive_s=options.pop("keepalive_s", 30.0),
            keepalive_answer_s=options.pop("keepalive_answer_s", 30.0),
        )
        try:
            yield (
                CoreGrpc(connections, cores, "s3cret", **{"timeouts": PATIENT, **options}),
                connections.slots,
            )
            assert connections.slots.in_use == 0
        finally:
            await connections.aclose()


GRPC = Grpc()


def _none() -> NoReturn:
    raise AssertionError("no TLS here")


def _handlers(played: Played) -> list[grpc.GenericRpcHandler]:
    async def query(request: pb.QueryRequest, context: Any) -> None:
        await _played(played, "query", request, context)

    def unary(call: str, kind: type[Message]) -> grpc.RpcMethodHandler:
        async def handler(request: Message, context: Any) -> Message:
            answer = (await _played(played, call, request, context)).answer
            assert answer is not None
            return answer

        return grpc.unary_unary_rpc_method_handler(
            handler, kind.FromString, lambda answer: answer.SerializeToString()
        )

    core = {name: unary(*call) for name, call in REQUESTS.items()}
    core["Query"] = grpc.unary_stream_rpc_method_handler(
        query, pb.QueryRequest.FromString, pb.QueryResponse.SerializeToString
    )
    health = {"Check": unary("health", health_pb2.HealthCheckRequest)}
    return [
        grpc.method_handlers_generic_handler("knowledge.core.v1.CoreService", core),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", health),
    ]


async def _played(played: Played, name: str, request: Message, context: Any) -> GrpcCall:
    metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
    call = GrpcCall(context, Asked(name, metadata, _body(request)), played)
    await played.answer(call)
    return call
