"""What a request and its answer say of kept answers: ``Cache-Control`` and ``Cache-Status``."""

from __future__ import annotations

from sanic import Request
from sanic.response import BaseHTTPResponse

from gateway.flows.answer_stream import Answer


def cache_control(request: Request) -> str:
    """The request's ``Cache-Control``; several are one list (RFC 9110, 5.3)."""
    return ",".join(request.headers.getall("cache-control", []))


def add_cache_status(response: BaseHTTPResponse, answer: Answer) -> None:
    """Says whether this is a kept answer (RFC 9211), where answers are kept at all.

    The head may go out before that is known: then it says that none was there yet.
    """
    if answer.cached is not None:
        response.headers["Cache-Status"] = answer.cached.status
