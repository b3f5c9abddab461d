"""Spans through OpenTelemetry's SDK, exported in batches over OTLP/HTTP from a thread of its own.

Only imported when ``GATEWAY_OTLP_ENDPOINT`` is set; it comes with the extra ``[otel]``. What the
SDK would read from ``OTEL_*`` variables is given here: settings have one place.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal

import requests
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from gateway.telemetry.tracing import Value

# Seconds. An unreachable collector costs spans, never a worker's stop.
EXPORT_S = 2
CLOSE_S = 3.0
QUEUE_SPANS = 4096
_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT}


class OtelTracer:
    """Implements ``telemetry.tracing.Tracer``. Make it in the worker: its thread survives no fork.

    Args:
        endpoint: base URL of an OTLP/HTTP receiver, such as ``http://collector:4318``.
        sample: share of the requests whose spans are exported, 0 to 1. A caller's own flag does not
            count: how much is exported is not for callers to say.
    """

    def __init__(self, endpoint: str, sample: float, version: str) -> None:
        session = requests.Session()
        session.trust_env = False
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint}/v1/traces",
            headers={},
            timeout=EXPORT_S,
            compression=Compression.Gzip,
            session=session,
        )
        ratio = TraceIdRatioBased(sample)
        self._provider = TracerProvider(
            sampler=ParentBased(
                ratio, remote_parent_sampled=ratio, remote_parent_not_sampled=ratio
            ),
            resource=Resource(
                {"service.name": "knowledge-base-gateway", "service.version": version}
            ),
            span_limits=SpanLimits(max_attributes=64, max_attribute_length=256),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=QUEUE_SPANS,
                schedule_delay_millis=1000,
                max_export_batch_size=512,
                export_timeout_millis=EXPORT_S * 1000,
            )
        )
        self._tracer = self._provider.get_tracer("gateway", version)

    def begin(self, name: str, kind: Literal["server", "client"], parent: str | None) -> OtelSpan:
        above = None if parent is None else _context(parent, is_remote=kind == "server")
        context = None if above is None else trace.set_span_in_context(NonRecordingSpan(above))
        return OtelSpan(self._tracer.start_span(name, context=context, kind=_KINDS[kind]))

    async def aclose(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await asyncio.to_thread(self._provider.shutdown)


class OtelSpan:
    """Implements ``telemetry.tracing.Span``."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        flags = context.trace_flags & TraceFlags.SAMPLED
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    def set_attribute(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def end(self, error: str | None = None) -> None:
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _context(traceparent: str, *, is_remote: bool) -> SpanContext:
    _, trace_id, span_id, flags = traceparent.split("-", 3)
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote, TraceFlags(int(flags[:2], 16) & 1)
    )
