"""A workflow learns under which trace it was started or signalled: a header of Temporal's own.

The header is the one that Temporal's OpenTelemetry interceptors use, so that a worker which has
them goes on with the trace; to others it is nothing. It is sent whether we trace or pass on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.adapters.temporal_sdk import (
    Interceptor,
    OutboundInterceptor,
    Payload,
    PayloadConverter,
    SignalWorkflowInput,
    StartWorkflowInput,
    WorkflowHandle,
)
from gateway.telemetry.tracing import TRACEPARENT

HEADER = "_tracer-data"


class TraceHeader(Interceptor):
    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        return _Outbound(next)


class _Outbound(OutboundInterceptor):
    async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
        return await super().start_workflow(replace(input, headers=_with_trace(input.headers)))

    async def signal_workflow(self, input: SignalWorkflowInput) -> None:
        await super().signal_workflow(replace(input, headers=_with_trace(input.headers)))


def _with_trace(headers: Mapping[str, Payload]) -> Mapping[str, Payload]:
    traceparent = TRACEPARENT.get()
    if traceparent is None:
        return headers
    carrier = PayloadConverter.default.to_payload({"traceparent": traceparent})
    return {**headers, HEADER: carrier}
