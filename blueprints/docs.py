"""The OpenAPI document, and a page to read and try it, which loads nothing from elsewhere.

The page's files are rendered, read and kept as the console's, some of which it shares.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from sanic import Blueprint, Request, Sanic
from sanic.response import HTTPResponse

from blueprints.assets import Assets, answered
from gateway import __version__
from gateway.domain.versions import Version
from gateway.edge.http import openapi
from gateway.edge.http.endpoint import Success, route, version_of
from gateway.edge.http.pages import Pages, Template
from gateway.edge.wire.json_writer import dump_json
from gateway.errors import NotFound

blueprint = Blueprint("docs")
# The document of each version alone.
versioned_blueprint = Blueprint("versioned_docs")

TEMPLATE: Final = "docs.html"
# Its files stand beside the console's, of whose others it has those that it imports.
STATIC: Final = Path(__file__).parent / "console" / "static"
SCRIPT, STYLE = "docs/page.js", "docs/style.css"
POLICY: Final = "script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'"


@lru_cache(maxsize=1)
def assets() -> Assets:
    return Assets(STATIC, (SCRIPT, STYLE))


def template() -> Template:
    values = {
        "title": openapi.TITLE,
        "version": __version__,
        # Relative, so that a proxy may put the gateway below a path.
        "base": f"docs/assets/{assets().digest}",
        "script": SCRIPT,
        "style": STYLE,
        "scripts": [name for name in assets().names if name.endswith(".js")],
    }
    return Template(TEMPLATE, values, POLICY)


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
    summary="These routes, to read and to try",
    successes=(Success(200, "An HTML page.", "HTML", content_type="text/html"),),
)
async def docs(_request: Request, pages: Pages) -> HTTPResponse:
    return pages[TEMPLATE].response()


@route(
    blueprint,
    "GET",
    "/docs/assets/<asset:path>",
    action=None,
    name="asset",
    described=False,
    resource_id="asset",
    summary="A file of the page",
    successes=(Success(200, "A script or a style sheet.", "Text", content_type="text/plain"),),
    errors=(NotFound,),
)
async def asset(request: Request, asset: str) -> HTTPResponse:
    return answered(request, assets(), asset)
