"""Clients of the gRPC services: a channel of its own for each, and what its failures say."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from gateway.edge.grpc.methods import SERVICES
from gateway.edge.grpc.proto import query_pb2

from .raw import Where

ASK = "/knowledge.gateway.v1.QueryService/Ask"
# A client with little room: its window stays as small as HTTP/2 has it at the beginning.
LITTLE_ROOM = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16 * 1024))


@contextlib.asynccontextmanager
async def channel(
    where: Where,
    *options: tuple[str, Any],
    trust: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own; channels would share one that has the same options."""
    target = f"{where.address[0]}:{where.grpc_port}"
    alone = (("grpc.use_local_subchannel_pool", 1), *options)
    if trust is None:
        opened = grpc.aio.insecure_channel(target, options=alone)
    else:
        opened = grpc.aio.secure_channel(target, trust, options=alone)
    async with opened:
        yield opened


def metadata(credential: Mapping[str, str], **more: str) -> tuple[tuple[str, str], ...]:
    """Headers as metadata, whose names are lower-case."""
    pairs = {**credential, **{name.replace("_", "-"): text for name, text in more.items()}}
    return tuple((name.lower(), text) for name, text in pairs.items())


def asking(
    opened: grpc.aio.Channel, credential: Mapping[str, str], query: str = "hi", **more: str
) -> grpc.aio.UnaryStreamCall[Any, Any]:
    """A question, under way."""
    ask = opened.unary_stream(
        ASK,
        request_serializer=query_pb2.AskRequest.SerializeToString,
        response_deserializer=query_pb2.AskResponse.FromString,
    )
    return ask(query_pb2.AskRequest(query=query), metadata=metadata(credential, **more))


async def call(
    opened: grpc.aio.Channel,
    name: str,
    fields: Mapping[str, Any],
    credential: Mapping[str, str] | None = None,
    **more: str,
) -> Any:
    """The answer of ``Service/Method``, a message.

    Raises:
        grpc.aio.AioRpcError: it failed; see ``Failure``.
    """
    service, _, method = name.partition("/")
    described = SERVICES[service].methods_by_name[method]
    ask, told = (GetMessageClass(one) for one in (described.input_type, described.output_type))
    ready = opened.unary_unary(
        f"/{SERVICES[service].full_name}/{method}",
        request_serializer=ask.SerializeToString,
        response_deserializer=told.FromString,
    )
    return await ready(ask(**fields), metadata=metadata(credential or {}, **more))


async def rest(calling: Any) -> list[str]:
    """The names of the events that are still to come."""
    return [event.WhichOneof("kind") for event in await events_of(calling)]


async def events_of(calling: Any) -> list[query_pb2.Event]:
    """The events that are still to come, whatever they came together with."""
    events = []
    while (message := await calling.read()) is not grpc.aio.EOF:
        events += message.events
    return events


@dataclass
class Failure:
    """What a failed call says: the status, and the error shape of its details.

    ``code`` is ``None`` where there are none: the connection broke off, or grpc itself refused.
    """

    status: grpc.StatusCode
    message: str
    code: str | None = None
    facts: Mapping[str, str] | None = None
    fields: Mapping[str, str] | None = None
    retry_after_s: int | None = None

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> Failure:
        found = cls(error.code(), error.details() or "")
        for name, value in error.trailing_metadata() or ():
            if name == "grpc-status-details-bin":
                found._read(Status.FromString(value))
        return found

    def _read(self, status: Status) -> None:
        assert (status.code, status.message) == (self.status.value[0], self.message)
        for detail in status.details:
            one = _unpacked(detail)
            if isinstance(one, ErrorInfo):
                assert one.domain == "knowledge-base-gateway"
                self.code, self.facts = one.reason, dict(one.metadata)
            elif isinstance(one, BadRequest):
                self.fields = {fault.field: fault.description for fault in one.field_violations}
            elif isinstance(one, RetryInfo):
                self.retry_after_s = one.retry_delay.seconds


def _unpacked(detail: Any) -> Message:
    for kind in (ErrorInfo, BadRequest, RetryInfo):
        if detail.Is(kind.DESCRIPTOR):
            one = kind()
            detail.Unpack(one)
            return one
    raise AssertionError(f"an unknown detail: {detail}")
