"""The OpenAPI document and a page to read it, which loads nothing from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from sanic import Blueprint, Request, Sanic
from sanic.response import HTTPResponse

from gateway.edge.http import openapi
from gateway.edge.http.endpoint import Success, route
from gateway.edge.wire.json_writer import dump_json

blueprint = Blueprint("docs")

_PAGE = (files("blueprints") / "docs.html").read_text("utf-8")


def _inline_hash(tag: str) -> str:
    """The CSP source of the page's one inline ``tag`` element: nothing else of its kind may run."""
    inside = _PAGE.split(f"<{tag}>", 1)[1].split(f"</{tag}>", 1)[0]
    return f"'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'"


# The page's one script, one style and icon are its own; nothing else may load or frame it.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; script-src {_inline_hash('script')}; style-src {_inline_hash('style')}; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@route(
    blueprint,
    "GET",
    "/openapi.json",
    action=None,
    name="openapi",
    summary="This document",
    successes=(Success(200, "The OpenAPI 3.1 document of exactly these routes.", dict),),
)
async def openapi_json(request: Request) -> HTTPResponse:
    return HTTPResponse(_document(request.app), content_type="application/json")


@lru_cache(maxsize=1)
def _document(app: Sanic[Any, Any]) -> bytes:
    """The routes don't change after start-up: one rendering serves all requests."""
    return dump_json(openapi.build(app))


@route(
    blueprint,
    "GET",
    "/docs",
    action=None,
    name="docs",
    summary="These routes, to read",
    successes=(Success(200, "An HTML page.", "HTML", content_type="text/html"),),
)
async def docs(_request: Request) -> HTTPResponse:
    return HTTPResponse(
        _PAGE,
        content_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY},
    )
