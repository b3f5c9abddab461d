"""The request class of the public application, and what is asked of a request at the wire."""

from __future__ import annotations

from typing import Any

from sanic import Request
from sanic.exceptions import BadRequest

# The method of the request that Sanic makes up when an error came before there was one.
MADE_UP = "NONE"


class RequestContext:
    """What may stand at ``request.ctx``; a fifth of the memory of Sanic's, which takes any name."""

    __slots__ = ("scope",)


class GatewayRequest(Request):
    """Sanic's request, which can also be made for a target that is no URL (``CONNECT x:1``).

    Sanic refuses such a target, and to render the refusal makes a request up with the same target:
    that fails as well, the connection closes without an answer, and the log gets the whole trace.
    """

    make_context = RequestContext  # type: ignore[assignment]

    def __init__(self, url_bytes: bytes, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(url_bytes, *args, **kwargs)
        except BadRequest:
            if kwargs.get("method") != MADE_UP:
                raise
            super().__init__(b"*", *args, **kwargs)


def is_preflight(request: Request) -> bool:
    """Whether a browser asks for leave to send a request: it brings no credential."""
    return (
        request.method == "OPTIONS"
        and "origin" in request.headers
        and "access-control-request-method" in request.headers
    )
