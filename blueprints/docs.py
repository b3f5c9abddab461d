"""The OpenAPI document and a page to read it, which loads nothing from elsewhere."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from sanic import Blueprint, Request, Sanic
from sanic.response import HTTPResponse

from gateway import __version__
from gateway.domain.versions import Version
from gateway.edge.http import openapi
from gateway.edge.http.endpoint import Success, route, version_of
from gateway.edge.http.pages import Pages, Template
from gateway.edge.wire.json_writer import dump_json

blueprint = Blueprint("docs")
# The document of each version alone.
versioned_blueprint = Blueprint("versioned_docs")

TEMPLATE = Template("docs.html", {"title": openapi.TITLE, "version": __version__})


@route(
    blueprint,
    "GET",
    "/openapi.json",
    action=None,
    name="openapi",
    summary="This document",
    successes=(Success(200, "The OpenAPI 3.1 document of all routes of all versions.", dict),),
)
async def openapi_json(request: Request) -> HTTPResponse:
    return HTTPResponse(_document(request.app), content_type="application/json")


@route(
    versioned_blueprint,
    "GET",
    "/openapi.json",
    action=None,
    name="openapi",
    summary="The document of this version",
    successes=(Success(200, "The OpenAPI 3.1 document of the routes of this version.", dict),),
)
async def versioned_json(request: Request) -> HTTPResponse:
    document = _document(request.app, version_of(request))
    return HTTPResponse(document, content_type="application/json")


@lru_cache(maxsize=4)
def _document(app: Sanic[Any, Any], version: Version | Literal["all"] = "all") -> bytes:
    """The routes don't change after start-up: one rendering serves all requests."""
    return dump_json(openapi.build(app, version))


@route(
    blueprint,
    "GET",
    "/docs",
    action=None,
    name="docs",
    summary="These routes, to read",
    successes=(Success(200, "An HTML page.", "HTML", content_type="text/html"),),
)
async def docs(_request: Request, pages: Pages) -> HTTPResponse:
    page = pages[TEMPLATE.name]
    return HTTPResponse(
        page.html,
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": page.content_security_policy},
    )
