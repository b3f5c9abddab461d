"""An OTLP receiver: takes what an exporter sends over HTTP and reads it as protobuf."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from .raw import TIMEOUT_S


@dataclass
class Told:
    """One span as it was sent; ids in hexadecimal."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    attributes: dict[str, Any]

    @property
    def is_server(self) -> bool:
        return self.kind == Span.SPAN_KIND_SERVER


@dataclass
class Receiver:
    endpoint: str = ""
    spans: list[Told] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    resource: dict[str, Any] = field(default_factory=dict)

    async def until(self, there: Callable[[list[Told]], bool]) -> list[Told]:
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                if there(self.spans):
                    return self.spans
                await asyncio.sleep(0.05)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
                self._take(head, await reader.readexactly(int(fields["content-length"])))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    def _take(self, head: str, body: bytes) -> None:
        self.heads.append(head)
        data = gzip.decompress(body)
        self.raw.append(data)
        for batch in ExportTraceServiceRequest.FromString(data).resource_spans:
            self.resource = _values(batch.resource.attributes)
            for scope in batch.scope_spans:
                self.spans += [_told(span) for span in scope.spans]


def _told(span: Span) -> Told:
    return Told(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.status.code == span.status.STATUS_CODE_ERROR,
        _values(span.attributes),
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield receiver
    finally:
        server.close()
