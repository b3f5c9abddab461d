"""What clients that know nothing but the gateway's address look for first."""

from __future__ import annotations

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse

from gateway.edge.http.endpoint import WELL_KNOWN, Success, route
from gateway.edge.http.protected_resource import MCP, ProtectedResource
from gateway.edge.http.render import json_response
from gateway.errors import NotFound

blueprint = Blueprint("well-known")


class ResourceMetadata(msgspec.Struct, frozen=True):
    """Whose tokens the gateway takes (RFC 9728): ``authorization_servers`` are their issuers."""

    resource: str
    authorization_servers: list[str]
    bearer_methods_supported: list[str]
    resource_name: str


_FOUND = Success(200, "Where to sign in.", ResourceMetadata)


@route(
    blueprint,
    "GET",
    WELL_KNOWN,
    action=None,
    name="protected_resource",
    summary="Where to sign in, for clients that are not told otherwise",
    successes=(_FOUND,),
    errors=(NotFound,),
)
async def protected_resource(_request: Request, resource: ProtectedResource) -> HTTPResponse:
    return json_response(resource.document())


@route(
    blueprint,
    "GET",
    WELL_KNOWN + MCP,
    action=None,
    name="protected_resource_mcp",
    summary="The same for agents, of the tools alone",
    successes=(_FOUND,),
    errors=(NotFound,),
)
async def protected_resource_mcp(_request: Request, resource: ProtectedResource) -> HTTPResponse:
    return json_response(resource.document(MCP))
