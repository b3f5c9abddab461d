"""The admin listener, inside the cluster: readiness with latency, reason and since; metrics.

A few lines of asyncio rather than a second Sanic application: it answers GET and HEAD, ``/readyz``
to people and ``/metrics`` to Prometheus, and ``/limits`` to operators, on an address that is
loopback by default, and must work when the public side is full. Every worker listens on the same
address (``SO_REUSEPORT``) and any of them may answer: with its own readiness, and with the metrics
and the limits of all.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from gateway.edge.observe.limits_desk import PATH, LimitsDesk, no_desk
from gateway.edge.wire.json_writer import dump_json
from gateway.edge.wire.security_headers import header_lines, security_headers
from gateway.edge.wire.whole_answer import whole_answer, whole_error, without_body
from gateway.errors import GatewayError, MethodNotAllowed, NotFound
from gateway.flows.health import DependencyState, Health
from gateway.telemetry.exposition import CONTENT_TYPE

HEAD_LIMIT_BYTES = 8 * 1024
HEAD_TIMEOUT_S = 5.0
_SECURITY_LINES = header_lines(security_headers())


async def listen(
    host: str,
    port: int,
    health: Health,
    metrics: Callable[[], bytes],
    desk: LimitsDesk | None = None,
) -> asyncio.Server:
    """Starts listening; the caller closes the server."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request_line, authorization = await _head(reader)
            if _path(request_line) == PATH:
                writer.write(await _at_desk(desk, request_line, authorization))
            else:
                writer.write(_answer(request_line, health, metrics))
            await writer.drain()
        except (
            TimeoutError,
            ConnectionError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
        ):
            pass
        finally:
            writer.close()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.setblocking(False)
    return await asyncio.start_server(serve, sock=listener, limit=HEAD_LIMIT_BYTES)


async def _head(reader: asyncio.StreamReader) -> tuple[str, str]:
    """The request line, and what ``Authorization`` says."""
    async with asyncio.timeout(HEAD_TIMEOUT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines)
    said = [value.strip() for name, _, value in fields if name.lower() == "authorization"]
    return first, said[0] if len(said) == 1 else ""


def _path(request_line: str) -> str:
    return request_line.partition(" ")[2].partition(" ")[0].partition("?")[0]


async def _at_desk(desk: LimitsDesk | None, request_line: str, authorization: str) -> bytes:
    method, target, *_ = request_line.split(" ")
    try:
        if desk is None:
            raise no_desk()
        body = dump_json(await desk.answer(method, target, authorization))
    except GatewayError as error:
        return whole_error(error, security_lines=_SECURITY_LINES)
    return whole_answer(200, body, "application/json", security_lines=_SECURITY_LINES)


def _answer(request_line: str, health: Health, metrics: Callable[[], bytes]) -> bytes:
    method, _, rest = request_line.partition(" ")
    answer = _whole_answer(method, rest, health, metrics)
    return without_body(answer) if method == "HEAD" else answer


def _whole_answer(method: str, rest: str, health: Health, metrics: Callable[[], bytes]) -> bytes:
    path = rest.partition(" ")[0].partition("?")[0]
    if path not in ("/readyz", "/metrics"):
        see = NotFound("This listener answers /readyz and /metrics.")
        return whole_error(see, security_lines=_SECURITY_LINES)
    if method not in ("GET", "HEAD"):
        refusal = MethodNotAllowed(headers={"Allow": "GET, HEAD"})
        return whole_error(refusal, security_lines=_SECURITY_LINES)
    if path == "/metrics":
        return whole_answer(200, metrics(), CONTENT_TYPE, security_lines=_SECURITY_LINES)
    status, body = 200 if health.ready else 503, dump_json(report(health))
    return whole_answer(status, body, "application/json", security_lines=_SECURITY_LINES)


def report(health: Health) -> dict[str, Any]:
    """The public answer with each dependency's latency, reason and since."""
    return {
        "status": health.status,
        "draining": health.draining,
        "worker_pid": os.getpid(),
        "dependencies": {name: _dependency(found) for name, found in health.states.items()},
    }


def _dependency(found: DependencyState) -> dict[str, Any]:
    latency_s = found.latency_s
    return {
        "state": found.state,
        "since": datetime.fromtimestamp(found.since, UTC).isoformat(timespec="milliseconds"),
        "latency_ms": None if latency_s is None else round(latency_s * 1000, 2),
        "reason": found.reason,
    }
