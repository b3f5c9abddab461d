"""The core over gRPC, as ``proto/knowledge/core/v1/core.proto`` has it, and its health.

The same service as over HTTP, with the same rules about who gets in and what is a valid question:
a message becomes the JSON body that it stands for, and is checked as one.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from devstack.core import event_lines
from devstack.core.documents import Owner, Record, is_document_id
from devstack.core.errors import CoreError, InvalidRequest
from devstack.core.query import Event, parse_question, parse_search
from devstack.core.service import (
    BODY_LIMIT_BYTES,
    LARGEST_PAGE,
    REVISION,
    Service,
    check_token,
    owner_of,
)
from gateway.adapters.core_proto import core_pb2 as pb

logger = logging.getLogger(__name__)

CORE = "knowledge.core.v1.CoreService"
HEALTH = "grpc.health.v1.Health"
# How often a client may look whether we are there: the gateway's pings come twice a minute.
PING_AT_MOST_EVERY_MS = 10_000

# What each status of HTTP is called in gRPC.
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
ROLES = {pb.ROLE_SYSTEM: "system", pb.ROLE_USER: "user", pb.ROLE_ASSISTANT: "assistant"}
STATUSES = {
    "processing": pb.DOCUMENT_STATUS_PROCESSING,
    "indexed": pb.DOCUMENT_STATUS_INDEXED,
    "failed": pb.DOCUMENT_STATUS_FAILED,
    "expired": pb.DOCUMENT_STATUS_EXPIRED,
}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Work = Callable[[Any, Context, Owner], Awaitable[Message]]


@contextlib.asynccontextmanager
async def serving_grpc(
    token: str, service: Service, host: str, port: int, shutdown_s: float
) -> AsyncIterator[int]:
    """Serves until the block is left; gives the port it listens on."""
    options = [
        ("grpc.max_receive_message_length", BODY_LIMIT_BYTES),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_AT_MOST_EVERY_MS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(GrpcService(token, service).handlers())
    shown = f"[{host}]" if ":" in host else host
    listens = server.add_insecure_port(f"{shown}:{port}")
    await server.start()
    try:
        yield listens
    finally:
        await server.stop(shutdown_s)


class GrpcService:
    """The handlers; whoever made the service closes it."""

    def __init__(self, token: str, service: Service) -> None:
        self._token = token.encode()
        self._service = service

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        core = {
            "Query": grpc.unary_stream_rpc_method_handler(
                self.query,
                request_deserializer=pb.QueryRequest.FromString,
                response_serializer=pb.QueryResponse.SerializeToString,
            ),
            "Search": self._unary(pb.SearchRequest, self.search),
            "GetRevision": self._unary(pb.GetRevisionRequest, self.revision),
            "ListDocuments": self._unary(pb.ListDocumentsRequest, self.list_documents),
            "GetDocument": self._unary(pb.GetDocumentRequest, self.read_document),
            "DeleteDocument": self._unary(pb.DeleteDocumentRequest, self.delete_document),
        }
        check = grpc.unary_unary_rpc_method_handler(
            self.health,
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        )
        return [
            grpc.method_handlers_generic_handler(CORE, core),
            grpc.method_handlers_generic_handler(HEALTH, {"Check": check}),
        ]

    async def health(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """A probe needs no token; a gateway learns at once that it has the wrong one."""
        try:
            if given := _value(context, "authorization"):
                check_token(given, self._token)
        except CoreError as fault:
            await _refuse(context, fault)
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def query(
        self, request: pb.QueryRequest, context: Context
    ) -> AsyncIterator[pb.QueryResponse]:
        try:
            owner, question = self._caller(context), parse_question(_question(request))
            head = ((REVISION.lower(), await self._service.revision(owner)),)
            events = self._service.answer(owner, question)
            first = await anext(events)  # what fails before it still has its own status
        except Exception as fault:
            await _refuse(context, fault)
        await context.send_initial_metadata(head)
        async with contextlib.aclosing(events):
            yield _message(first)
            try:
                async for event in events:
                    yield _message(event)
            except Exception as fault:
                known = fault if isinstance(fault, CoreError) else CoreError()
                logger.warning("answer broken off", exc_info=fault)
                yield _message(Event("error", known.body(_value(context, "x-request-id"))))

    async def search(self, request: pb.SearchRequest, context: Context, owner: Owner) -> Message:
        question = parse_search(_narrowed(request))
        await self._tell_revision(context, owner)
        found = await self._service.search(owner, question)
        return pb.SearchResponse(passages=[pb.Passage(**one) for one in found])

    async def revision(
        self, request: pb.GetRevisionRequest, context: Context, owner: Owner
    ) -> Message:
        return pb.GetRevisionResponse(revision=await self._tell_revision(context, owner))

    async def list_documents(
        self, request: pb.ListDocumentsRequest, context: Context, owner: Owner
    ) -> Message:
        cursor = request.cursor if request.HasField("cursor") else None
        faults = {}
        if not 1 <= request.limit <= LARGEST_PAGE:
            faults["limit"] = f"expected a whole number from 1 to {LARGEST_PAGE}"
        if cursor is not None and not is_document_id(cursor):
            faults["cursor"] = "expected a document id"
        if faults:
            raise InvalidRequest(fields=faults)
        await self._tell_revision(context, owner)
        records, next_cursor = await self._service.page(owner, request.limit, cursor)
        return pb.ListDocumentsResponse(documents=map(_document, records), next_cursor=next_cursor)

    async def read_document(
        self, request: pb.GetDocumentRequest, context: Context, owner: Owner
    ) -> Message:
        await self._tell_revision(context, owner)
        record = await self._service.record(owner, request.document_id)
        return pb.GetDocumentResponse(document=_document(record))

    async def delete_document(
        self, request: pb.DeleteDocumentRequest, context: Context, owner: Owner
    ) -> Message:
        await self._service.delete(owner, request.document_id)
        await self._tell_revision(context, owner)
        return pb.DeleteDocumentResponse()

    async def _tell_revision(self, context: Context, owner: Owner) -> str:
        revision = await self._service.revision(owner)
        await context.send_initial_metadata(((REVISION.lower(), revision),))
        return revision

    def _unary(self, kind: type[Message], work: Work) -> grpc.RpcMethodHandler[Any, Any]:
        async def handler(request: Message, context: Context) -> Message:
            try:
                return await work(request, context, self._caller(context))
            except Exception as fault:
                await _refuse(context, fault)

        return grpc.unary_unary_rpc_method_handler(
            handler,
            request_deserializer=kind.FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    def _caller(self, context: Context) -> Owner:
        check_token(_value(context, "authorization"), self._token)
        return owner_of(_value(context, "x-kb-tenant"), _value(context, "x-kb-subject"))


def _value(context: Context, name: str) -> str:
    """What a key of the metadata holds; empty when it is missing or given more than once."""
    values = [value for key, value in context.invocation_metadata() or () if key == name]
    return str(values[0]) if len(values) == 1 else ""


async def _refuse(context: Context, fault: Exception) -> NoReturn:
    """Ends the call with a status, whose details have the code of the one error shape."""
    known = fault if isinstance(fault, CoreError) else CoreError()
    if known is not fault:
        logger.error("a call failed", exc_info=fault)
    code = CODES.get(known.status, grpc.StatusCode.INTERNAL)
    reason = any_pb2.Any()
    reason.Pack(error_details_pb2.ErrorInfo(reason=known.code, domain=CORE))
    status = status_pb2.Status(code=code.value[0], message=str(known), details=[reason])
    details = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(code, str(known), details)


def _message(event: Event) -> pb.QueryResponse:
    data = event_lines.to_json(event.data).encode()
    return pb.QueryResponse(events=[pb.Event(name=event.name, data=data)])


def _question(request: pb.QueryRequest) -> dict[str, Any]:
    """The JSON body that it stands for."""
    body = _narrowed(request)
    if request.HasField("conversation_id"):
        body["conversation_id"] = request.conversation_id
    if request.messages:
        body["messages"] = [
            {"role": ROLES.get(one.role), "content": one.content} for one in request.messages
        ]
    return body


def _narrowed(request: pb.QueryRequest | pb.SearchRequest) -> dict[str, Any]:
    body: dict[str, Any] = {"query": request.query}
    if request.HasField("top_k"):
        body["top_k"] = request.top_k
    if request.HasField("document_ids"):
        body["document_ids"] = list(request.document_ids.ids)
    return body


def _document(record: Record) -> pb.Document:
    return pb.Document(
        document_id=record.document_id,
        filename=record.filename,
        content_type=record.content_type,
        size=record.size,
        status=STATUSES[record.status],
        error=record.error,
        created_at=record.created_at,
        updated_at=record.updated_at,
        sha256=record.sha256,
        warnings=record.warnings,
        version_id=record.version_id,
    )
