"""One flow for ``Idempotency-Key`` on all routes that declare it; who may do it is decided before.

A request that is sent again goes through all stages like any other: its caller is identified, the
policy asked and its limits charged anew. Only then is it looked up, by what was read of its body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
from sanic import Request
from sanic.response import HTTPResponse

from gateway.domain.repeats import (
    HEADER,
    MOST_CHARACTERS,
    Asked,
    KeptAnswer,
    NoKey,
    asked,
    read_key,
)
from gateway.edge.context import context_of
from gateway.edge.scope import scope_of
from gateway.edge.wire.response import Response
from gateway.errors import ValidationFailed
from gateway.flows.repeats import Attempt, Repeats

Handle = Callable[..., Awaitable[HTTPResponse | None]]

# All work of a request ends at its deadline. What still goes on behind it makes the same thing.
LOCK_BEYOND_DEADLINE_S = 1.0


@dataclass(frozen=True, slots=True)
class Repeat:
    """How a route answers a request that is sent again with the same key.

    ``new_id`` names, at a time in Unix seconds, what the route makes: its handler then takes an
    ``attempt`` (``None`` without a key) and answers repeats itself. Without ``new_id`` the answer
    is kept as it was.
    """

    new_id: Callable[[float], str] | None = None

    @property
    def answers_itself(self) -> bool:
        return self.new_id is not None


async def answer_once(
    request: Request, repeat: Repeat, handle: Handle, arguments: dict[str, Any]
) -> HTTPResponse | None:
    """What ``handle`` answers, or answered before to the same request with the same key."""
    if repeat.answers_itself:
        arguments["attempt"] = None
    key = _key(request)
    if key is None:
        return await handle(request, **arguments)
    repeats = cast(Repeats, context_of(request.app).provided[Repeats])
    what = _asked(request, key, arguments.get("body"))
    begun = await repeats.begin(what, repeat.new_id or _no_id, _lock_s(request))
    if begun is None:
        return await handle(request, **arguments)
    if isinstance(begun, KeptAnswer):
        return Response(begun.body, begun.status, content_type="application/json")
    if repeat.answers_itself:
        arguments["attempt"] = begun
    return await _attempt(repeats, what, begun, repeat, handle(request, **arguments))


async def _attempt(
    repeats: Repeats,
    what: Asked,
    attempt: Attempt,
    repeat: Repeat,
    handling: Awaitable[HTTPResponse | None],
) -> HTTPResponse | None:
    try:
        response = await handling
    except BaseException:
        # Also where the client left, which cancels this.
        repeats.failed(what, attempt)
        raise
    if response is not None:
        body = b"" if repeat.answers_itself else response.body or b""
        await repeats.made(what, attempt, KeptAnswer(response.status, body))
    return response


def _no_id(_now: float) -> str:
    return ""


def _key(request: Request) -> str | None:
    try:
        return read_key(request.headers.getall(HEADER.lower(), []))
    except NoKey as problem:
        expected = (
            f"must be sent once, as 1 to {MOST_CHARACTERS} visible characters, best in quotes"
        )
        raise ValidationFailed(fields={HEADER: expected}) from problem


def _asked(request: Request, key: str, body: msgspec.Struct | None) -> Asked:
    caller = scope_of(request).caller
    return asked(
        tenant=caller.tenant,
        subject=caller.subject,
        method=request.method,
        route=request.route.path if request.route else "",
        key=key,
        target=f"{request.path}?{request.query_string}",
        body=b"" if body is None else msgspec.json.encode(body),
    )


def _lock_s(request: Request) -> float:
    left_s = scope_of(request).deadline - asyncio.get_running_loop().time()
    return max(left_s, 0.0) + LOCK_BEYOND_DEADLINE_S
