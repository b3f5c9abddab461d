"""What a gRPC status of a core means, put into the words that calls over REST have.

A status that the core itself says has its meaning in HTTP, as ``google/rpc/code.proto`` tells it.
gRPC says the same codes of a connection that broke: a core that means one of those says so in the
status' details (``google.rpc.ErrorInfo``, ``google.rpc.RetryInfo``), which no transport writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import grpc
import httpx
import msgspec
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from gateway.adapters.core_adapter import whole_seconds
from gateway.domain import sse
from gateway.domain.stream import CoreReset
from gateway.errors import (
    CoreTruncated,
    EventTooLarge,
    GatewayError,
    NotFound,
    Overloaded,
    ValidationFailed,
)

DETAILS = "grpc-status-details-bin"

HTTP_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.DATA_LOSS: 500,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
# What gRPC says of a message that is larger than one side takes; a core that is overloaded adds
# when to come back, or its code.
TOO_LARGE = 413
# A core that is there and cannot answer, for another reason than too many questions.
BAD_GATEWAY = 502
# Codes that need no more to be said.
_SAYS_IT: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.INVALID_ARGUMENT: ValidationFailed.code,
    grpc.StatusCode.NOT_FOUND: NotFound.code,
}
_BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@dataclass(frozen=True, slots=True)
class Refused:
    """A status that the core said: as HTTP's, its code in the one error shape, when to return."""

    status: int
    code: str | None
    retry_after_s: int | None


def before_the_head(error: grpc.aio.AioRpcError) -> Refused:
    """What the core said instead of an answer.

    Raises:
        httpx.ReadError: nobody said anything: the connection broke.
        httpx.ReadTimeout: the call's deadline is over.
    """
    code, retry_after_s = _told(error)
    if code is None and retry_after_s is None:
        if error.code() in _BROKEN:
            raise httpx.ReadError(error.code().name) from error
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            raise httpx.ReadTimeout("the deadline is over") from error
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return Refused(TOO_LARGE, None, None)
    status = HTTP_STATUS.get(error.code(), 500)
    if status == 503 and code not in (None, Overloaded.code):
        status = BAD_GATEWAY
    return Refused(status, code or _SAYS_IT.get(error.code()), retry_after_s)


def in_mid_stream(error: grpc.aio.AioRpcError) -> bytes | GatewayError:
    """The ``error`` event that the core would have sent, where it says its code; else how the
    transfer broke."""
    code, _ = _told(error)
    if code is not None:
        shape = {"error": {"code": code, "message": "", "details": {}}}
        return sse.event("error", msgspec.json.encode(shape))
    ours: GatewayError = CoreTruncated()
    if error.code() in _BROKEN:
        ours = CoreReset()
    elif error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        ours = EventTooLarge()
    ours.__cause__ = error
    return ours


def _told(error: grpc.aio.AioRpcError) -> tuple[str | None, int | None]:
    """The core's code and the seconds after which it may be asked again; details that cannot be
    read say nothing."""
    try:
        return _in_details(error)
    except DecodeError:
        return None, None


def _in_details(error: grpc.aio.AioRpcError) -> tuple[str | None, int | None]:
    code: str | None = None
    retry_after_s: int | None = None
    for key, value in error.trailing_metadata() or ():
        if key != DETAILS or not isinstance(value, bytes):
            continue
        for one in status_pb2.Status.FromString(value).details:
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if one.Unpack(info):
                code = info.reason or None
            elif one.Unpack(retry):
                delay = retry.retry_delay
                retry_after_s = whole_seconds(str(math.ceil(delay.seconds + delay.nanos / 1e9)))
    return code, retry_after_s
