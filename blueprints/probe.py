"""Timed events, for measuring what stands between a client and the gateway."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.event_streams import CONTENT_TYPE, HEADERS, OpenStreams
from gateway.edge.scope import scope_of
from gateway.edge.wire.client_stream import head_alone
from gateway.edge.wire.response import Response
from gateway.errors import (
    CredentialRevoked,
    Draining,
    RateLimited,
    SharedStateUnavailable,
    StreamMaxDuration,
)
from gateway.flows.probe_stream import Probe, ProbePlan
from gateway.flows.recheck import Recheck

blueprint = Blueprint("probe", url_prefix="/probe")


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When events come: ``events`` of them, then nothing for ``silence_ms``, then one more."""

    events: Annotated[int, Meta(ge=1, le=100)] = 20
    interval_ms: Annotated[int, Meta(ge=10, le=1000)] = 100
    silence_ms: Annotated[int, Meta(ge=0, le=15_000)] = 0

    @property
    def in_seconds(self) -> ProbePlan:
        return ProbePlan(self.events, self.interval_ms / 1000, self.silence_ms / 1000)


class ProbeEvent(msgspec.Struct, frozen=True):
    """``data`` is JSON: ``n``, counted from 0, and ``sent_ms``, since the first was sent.

    The first, ``probe``, also has ``http``, the version of HTTP that came here, ``tls``, ``ip``,
    and ``headers``, the names of the request's. One ``done`` or ``error`` comes last.
    """

    event: str
    data: str


@route(
    blueprint,
    "GET",
    "",
    action="probe:run",
    name="probe",
    kind="stream",
    summary="Events at known times, to measure what holds them up",
    query=Plan,
    successes=(
        Success(
            200,
            "An event stream as a question's, one at a time for each person.",
            ProbeEvent,
            content_type="text/event-stream",
        ),
    ),
    errors=(RateLimited, Draining, CredentialRevoked, StreamMaxDuration, SharedStateUnavailable),
)
async def probe(
    request: Request, prober: Probe, streams: OpenStreams, recheck: Recheck, query: Plan
) -> HTTPResponse | None:
    if request.method == "HEAD":
        head = await request.respond(Response(headers=HEADERS, content_type=CONTENT_TYPE))
        await head_alone(request, head)
        return None
    scope = scope_of(request)
    place = await prober.take_place(scope.caller)
    try:
        answer = prober.open(
            scope.on_behalf_of(),
            query.in_seconds,
            seen_of(request),
            token_expires_at=scope.caller.expires_at,
        )
        grant = scope.give_grant(recheck.retain)
        with streams.under_way(request, answer), recheck.watching(grant, answer):
            async with answer:
                await streams.relay(request, answer)
        return None
    finally:
        place.release()


def seen_of(request: Request) -> dict[str, Any]:
    """How the request came here: the names of its headers, and none of their values."""
    return {
        "http": request.version,
        "tls": request.transport.get_extra_info("sslcontext") is not None,
        "ip": scope_of(request).client_ip,
        "headers": sorted({name.lower() for name in request.headers}),
    }
