"""Which versions of the API there are, and how long each is served: at the root, for anybody."""

from __future__ import annotations

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from gateway.domain.versions import ROOT
from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.render import json_response
from gateway.edge.http.served_versions import Listing, ServedVersions

blueprint = Blueprint("versions")

# Days are set a year ahead: whoever learns of one an hour late has lost nothing.
KEPT = "public, max-age=3600"


@route(
    blueprint,
    "GET",
    ROOT,
    action=None,
    name="versions",
    summary="The versions of the API, and when they end",
    successes=(Success(200, "All versions, and routes that end before theirs does.", Listing),),
)
async def list_versions(_request: Request, versions: ServedVersions) -> HTTPResponse:
    response = json_response(msgspec.to_builtins(versions.listing()))
    response.headers["Cache-Control"] = KEPT
    return response
