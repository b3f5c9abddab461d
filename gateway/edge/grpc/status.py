"""What a client is told of a failure: a status of gRPC, with the one error shape in its details."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

import grpc
import msgspec
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from gateway.errors import GatewayError

# Whose codes these are (``google.rpc.ErrorInfo``): they are unique in it.
DOMAIN: Final = "knowledge-base-gateway"
DETAILS: Final = "grpc-status-details-bin"
REQUEST_ID: Final = "x-request-id"

# By the status that HTTP has for it. Clients try again by themselves what is UNAVAILABLE.
BY_STATUS: Final[Mapping[int, StatusCode]] = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    408: StatusCode.DEADLINE_EXCEEDED,
    409: StatusCode.FAILED_PRECONDITION,
    410: StatusCode.UNIMPLEMENTED,
    413: StatusCode.RESOURCE_EXHAUSTED,
    422: StatusCode.FAILED_PRECONDITION,
    429: StatusCode.RESOURCE_EXHAUSTED,
    500: StatusCode.INTERNAL,
    501: StatusCode.UNIMPLEMENTED,
    502: StatusCode.UNAVAILABLE,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}
# Where HTTP has one status for what gRPC tells apart: asking again would end in the same way.
BY_CODE: Final[Mapping[str, StatusCode]] = {
    "CORE_PROTOCOL_ERROR": StatusCode.INTERNAL,
    "EVENT_TOO_LARGE": StatusCode.INTERNAL,
    "CORE_TRUNCATED": StatusCode.DATA_LOSS,
}


def status_of(error: GatewayError) -> StatusCode:
    """What HTTP alone can get wrong cannot happen here; it would be the request's fault."""
    return BY_CODE.get(error.code) or BY_STATUS.get(error.status, StatusCode.INVALID_ARGUMENT)


def details_of(error: GatewayError, request_id: str) -> Status:
    """The error shape as a ``google.rpc.Status``: code, message and details."""
    number: int = status_of(error).value[0]
    status = Status(code=number, message=error.message)
    for detail in _details(error, request_id):
        status.details.add().Pack(detail)
    return status


def _details(error: GatewayError, request_id: str) -> Iterator[Message]:
    facts = {name: _text(value) for name, value in error.details.items() if name != "fields"}
    # The request id is always the gateway's own: a detail of that name never replaces it.
    facts["request_id"] = request_id
    yield ErrorInfo(reason=error.code, domain=DOMAIN, metadata=facts)
    if fields := error.details.get("fields"):
        faults = BadRequest()
        for name, expected in fields.items():
            faults.field_violations.add(field=name, description=expected)
        yield faults
    if error.retry_after_s is not None:
        later = RetryInfo()
        later.retry_delay.seconds = error.retry_after_s
        yield later


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def refuse(
    context: grpc.aio.ServicerContext[Any, Any], error: GatewayError, request_id: str
) -> NoReturn:
    """Ends a call with this error.

    Raises:
        grpc.aio.AbortError: always; grpc wants to see it.
    """
    details = details_of(error, request_id).SerializeToString()
    trailing = ((DETAILS, details), (REQUEST_ID, request_id))
    await context.abort(status_of(error), error.message, trailing)
    raise AssertionError("abort returns never")
