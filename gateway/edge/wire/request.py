"""The request class of the public application: Sanic's, which also stands for what is no URL."""

from __future__ import annotations

from typing import Any

from sanic import Request
from sanic.exceptions import BadRequest

# The method of the request that Sanic makes up when an error came before there was one.
MADE_UP = "NONE"


class GatewayRequest(Request):
    """Can stand for a request whose target cannot be parsed (``CONNECT x:1``, a control byte).

    Sanic refuses such a target, and to render the refusal makes a request up with the same target:
    that fails as well, the connection closes without an answer, and the log gets the whole trace.
    """

    def __init__(self, url_bytes: bytes, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(url_bytes, *args, **kwargs)
        except BadRequest:
            if kwargs.get("method") != MADE_UP:
                raise
            super().__init__(b"*", *args, **kwargs)


def is_preflight(request: Request) -> bool:
    """A browser asks so before the request itself: without a credential, and for nothing else."""
    return (
        request.method == "OPTIONS"
        and "origin" in request.headers
        and "access-control-request-method" in request.headers
    )
