"""How much is read of a body, and how a client that sends too much still gets to read its refusal.

Sanic knows one limit: beyond it the connection is closed at once, with the rest of the body unread
in the kernel. TCP then answers the client's next bytes with a reset, and the reset may overtake
the refusal: the client sees a broken connection and no reason. So Sanic's own limit is set higher,
by ``LINGER_BYTES``, and holds for what is read and dropped behind a refusal, be it of a body that
is too large or of one that nobody wanted. What a handler gets has our limit: ``http1.py`` sets it
for as long as it receives a body.
"""

from __future__ import annotations

from typing import Any

from sanic import Sanic

# How much of a refused body is read and discarded; a client that sends more is cut off.
LINGER_BYTES = 16 * 1024 * 1024


def limit_bodies(app: Sanic[Any, Any], limit_bytes: int) -> None:
    """Sets Sanic's own limit for ``app``, which each connection takes over when it is made."""
    app.config.REQUEST_MAX_SIZE = limit_bytes + LINGER_BYTES
