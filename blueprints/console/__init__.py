"""The web console: one page, and the scripts and styles that it loads from here alone.

The page is rendered at the start; its files are read when a browser asks for them. Everything it
shows it asks of the public API, as any client does.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from sanic import Blueprint, Request
from sanic.response import HTTPResponse, empty

from blueprints.assets import Assets, answered
from gateway import __version__
from gateway.edge.http.accept import weights
from gateway.edge.http.console_view import ConsoleView
from gateway.edge.http.cors import add_vary
from gateway.edge.http.endpoint import CONSOLE, Success, route
from gateway.edge.http.pages import Pages, Template
from gateway.errors import NotFound

blueprint = Blueprint("console")

TEMPLATE: Final = "console.html"
STATIC: Final = Path(__file__).parent / "static"
# What the first view runs; all that these import is asked for at once, not file by file.
FIRST: Final = ("app.js", "screens/sign_in.js", "screens/ask.js")


@lru_cache(maxsize=1)
def assets() -> Assets:
    return Assets(STATIC)


def template(view: ConsoleView) -> Template:
    """The page as these settings make it."""
    connect = " ".join(("'self'", *view.store_origins))
    values = {
        "version": __version__,
        # Relative, so that a proxy may put the gateway below a path.
        "base": f"console/assets/{assets().digest}",
        "first": assets().needed_by(*FIRST),
        "company": view.company_sign_in,
    }
    policy = (
        "script-src 'self'; style-src 'self'; img-src 'self' data:; worker-src 'self';"
        f" connect-src {connect}"
    )
    return Template(TEMPLATE, values, policy)


@route(
    blueprint,
    "GET",
    "/",
    action=None,
    name="start",
    described=False,
    summary="Leads a browser to the console",
    successes=(Success(303, "To the console, for who takes HTML.", location=True),),
    errors=(NotFound,),
)
async def start(request: Request) -> HTTPResponse:
    accepted = weights(",".join(request.headers.getall("accept", [])))
    if accepted.get("text/html", 0.0) <= 0.0:
        raise NotFound
    response = empty(303, {"Location": CONSOLE})
    add_vary(response, "Accept")
    return response


@route(
    blueprint,
    "GET",
    CONSOLE,
    action=None,
    name="console",
    described=False,
    summary="A console for people, to use in a browser",
    validated=True,
    successes=(Success(200, "An HTML page.", "HTML", content_type="text/html"),),
)
async def console(_request: Request, pages: Pages) -> HTTPResponse:
    return pages[TEMPLATE].response()


@route(
    blueprint,
    "GET",
    f"{CONSOLE}/assets/<asset:path>",
    action=None,
    name="asset",
    described=False,
    resource_id="asset",
    summary="A file of the console",
    successes=(Success(200, "A script or a style sheet.", "Text", content_type="text/plain"),),
    errors=(NotFound,),
)
async def asset(request: Request, asset: str) -> HTTPResponse:
    return answered(request, assets(), asset)
