"""Liveness and readiness, for probes and load balancers: at the root, without credentials."""

from __future__ import annotations

from typing import Literal

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.render import json_response
from gateway.flows.health import Health

blueprint = Blueprint("ops")


class Alive(msgspec.Struct, frozen=True):
    """The process answers, whatever the state of its dependencies."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True):
    """Whether to send requests here, and each dependency's state, without a reason."""

    status: Literal["ok", "degraded", "unavailable"]
    dependencies: dict[str, Literal["unknown", "ok", "down", "broken"]]


@route(
    blueprint,
    "GET",
    "/healthz",
    action=None,
    name="healthz",
    summary="Alive; no dependency is asked",
    successes=(Success(200, "The process is alive.", Alive),),
)
async def healthz(_request: Request) -> HTTPResponse:
    return json_response({"status": "ok"})


@route(
    blueprint,
    "GET",
    "/readyz",
    action=None,
    name="readyz",
    summary="Fit to take traffic",
    successes=(
        Success(200, "Ready; `degraded` when a dependency is down.", Readiness),
        Success(503, "Starting, draining, or the policy is broken.", Readiness),
    ),
)
async def readyz(_request: Request, health: Health) -> HTTPResponse:
    states = {name: found.state for name, found in health.states.items()}
    body = {"status": health.status, "dependencies": states}
    return json_response(body, 200 if health.ready else 503)
