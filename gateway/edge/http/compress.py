"""gzip for JSON and pages of some size; never for event streams, which it would hold back."""

from __future__ import annotations

import asyncio
import gzip
from functools import partial

from sanic import Request
from sanic.response import BaseHTTPResponse

from gateway.edge.http.accept import weights
from gateway.edge.http.cors import add_vary

COMPRESSED = ("application/json", "text/html")
# Level 5 is where the curve bends for JSON: level 9 costs twice the time for one or two per cent.
LEVEL = 5
# A megabyte takes some 30 ms, in which no stream of the worker would move. Larger bodies are
# compressed on a thread: zlib releases the GIL.
THREAD_MIN_BYTES = 64 * 1024

_compress = partial(gzip.compress, compresslevel=LEVEL, mtime=0)


async def apply(request: Request, response: BaseHTTPResponse, min_bytes: int) -> None:
    """Compresses ``response`` in place when its type, its size and the client ask for it."""
    if not (response.content_type or "").startswith(COMPRESSED):
        return
    body = response.body or b""
    if not vary(response, len(body), min_bytes):
        return
    if accepts_gzip(",".join(request.headers.getall("accept-encoding", []))):
        large = len(body) > THREAD_MIN_BYTES
        response.body = await asyncio.to_thread(_compress, body) if large else _compress(body)
        response.headers["Content-Encoding"] = "gzip"


def vary(response: BaseHTTPResponse, size_bytes: int, min_bytes: int) -> bool:
    """Says that ``Accept-Encoding`` decides about this answer's bytes, where its size lets it."""
    if size_bytes < min_bytes:
        return False
    add_vary(response, "Accept-Encoding")
    return True


def accepts_gzip(header: str) -> bool:
    """RFC 9110, 12.5.3: an explicit ``gzip`` decides, else ``*``; a weight of 0 means no."""
    wanted = weights(header)
    return wanted.get("gzip", wanted.get("*", 0.0)) > 0.0
