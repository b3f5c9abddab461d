"""How large a body may be, and how a client that sent too much still gets to read its 413.

Sanic knows one limit: beyond it the connection is closed at once, with the rest of the body unread
in the kernel. TCP then answers the client's next bytes with a reset, and the reset may overtake the
413: the client sees a broken connection and no reason. So Sanic's own limit is set higher, by
``LINGER_BYTES``; ours (``Limits.body_bytes``) is set by ``http1.py`` as a handler's body is read,
and lifted again once the answer is a refusal, so that Sanic reads and discards the rest of the
body before it closes.
"""

from __future__ import annotations

from typing import Any

from sanic import Request, Sanic
from sanic.http import Http

# How much of a refused body is read and discarded; a client that sends more is cut off.
LINGER_BYTES = 16 * 1024 * 1024


def limit_bodies(app: Sanic[Any, Any], limit_bytes: int) -> None:
    """Sets Sanic's own limit for ``app``, which each connection takes over when it is made."""
    app.config.REQUEST_MAX_SIZE = limit_bytes + LINGER_BYTES


def swallow_rest(request: Request) -> None:
    """Lets Sanic read on over a refused body after the answer went out."""
    if isinstance(request.stream, Http):
        request.stream.request_max_size = request.stream.protocol.request_max_size
