"""The start-up check: a route whose declaration is incomplete stops the gateway."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from sanic import Blueprint, Request, Sanic
from sanic.response import HTTPResponse, empty

from gateway.edge.http.endpoint import PUBLIC, Endpoint, Success, route
from gateway.edge.http.routes import PARAMETER, UndeclaredRoute, check_routes, endpoints

_numbers = itertools.count()
NOTHING = (Success(204, "Nothing."),)


async def handler(_request: Request, **_: Any) -> HTTPResponse:
    return empty()


def some_app(name: str, add: Callable[[Sanic[Any, Any], Blueprint], None]) -> Sanic[Any, Any]:
    """An application with every public route, and what ``add`` adds."""
    app: Sanic[Any, Any] = Sanic(f"{name}_{next(_numbers)}", configure_logging=False)
    blueprint = Blueprint(f"routes_{app.name}")
    for method, path in sorted(PUBLIC):
        if method != "HEAD":  # it comes with GET
            _declare_public(blueprint, method, path, None)
    add(app, blueprint)
    app.blueprint(blueprint)
    app.finalize()
    return app


def _declare(blueprint: Blueprint, method: str, path: str, action: str | None, **told: Any) -> None:
    name = f"{method}{path}".translate(str.maketrans("/.<>:-", "______"))
    told = {"summary": "", "successes": NOTHING, **told}
    route(blueprint, method, path, action=action, name=name, **told)(handler)


def _declare_public(blueprint: Blueprint, method: str, path: str, action: str | None) -> None:
    (resource_id, *_) = (*PARAMETER.findall(path), None)
    _declare(blueprint, method, path, action, resource_id=resource_id)


def test_routes_with_known_actions_pass() -> None:
    """A declared action, or a place in ``PUBLIC``: nothing else is asked."""
    check_routes(some_app("good", lambda _, bp: _declare(bp, "GET", "/x", "documents:list")))


def test_a_route_with_no_endpoint_is_refused() -> None:
    """Somebody added a handler the plain Sanic way: the policy could not be asked about it."""
    with pytest.raises(UndeclaredRoute, match="GET /x declares no endpoint"):
        check_routes(some_app("plain", lambda app, _: app.add_route(handler, "/x")))


def test_a_route_with_no_action_is_refused() -> None:
    """A route is public because the constant lists it, not because its action was forgotten."""
    with pytest.raises(UndeclaredRoute, match="GET /x has no known action"):
        check_routes(some_app("none", lambda _, bp: _declare(bp, "GET", "/x", None)))


def test_a_route_with_an_unknown_action_is_refused() -> None:
    """The policy grants known actions only; a typo would be a route nobody can use."""
    with pytest.raises(UndeclaredRoute, match="no known action"):
        check_routes(some_app("typo", lambda _, bp: _declare(bp, "GET", "/x", "document:list")))


def test_owner_needs_an_action_of_its_own() -> None:
    """``?owner=`` on a route without ``…:any-owner`` could never be decided apart."""

    def add(_: Sanic[Any, Any], blueprint: Blueprint) -> None:
        _declare(blueprint, "GET", "/x", "query:run", any_owner=True)

    with pytest.raises(UndeclaredRoute, match="query:run:any-owner"):
        check_routes(some_app("owner", add))


@pytest.mark.parametrize(
    ("path", "resource_id", "fault"),
    [
        ("/x/<document_id:str>", None, "GET /x/.* has a parameter document_id that is not its"),
        ("/x/<note_id:str>", "document_id", "GET /x/.* has no parameter document_id"),
        ("/x", "document_id", "GET /x has no parameter document_id"),
        ("/x/<document_id:str>/<key_id:str>", "key_id", "has a parameter document_id that is not"),
        ("/x/<note_id:str>", "note_id", "has an id note_id whose spelling is not in"),
    ],
)
def test_the_parameter_of_a_path_is_its_resource_id(
    path: str, resource_id: str | None, fault: str
) -> None:
    """Else the policy would be asked without an id, or with one whose spelling is unchecked."""

    def add(_: Sanic[Any, Any], blueprint: Blueprint) -> None:
        _declare(blueprint, "GET", path, "documents:read", resource_id=resource_id)

    with pytest.raises(UndeclaredRoute, match=fault):
        check_routes(some_app("ids", add))


def test_a_path_with_its_resource_id_passes() -> None:
    """One parameter, named, of a kind whose spelling is known."""

    def add(_: Sanic[Any, Any], blueprint: Blueprint) -> None:
        path = "/x/<key_id:str>/rotate"
        _declare(blueprint, "GET", path, "keys:rotate", resource_id="key_id")

    check_routes(some_app("good_id", add))


def test_a_method_added_beside_the_declared_one_is_refused() -> None:
    """Automatic HEAD and OPTIONS routes carry another's endpoint, or none."""

    def add(app: Sanic[Any, Any], blueprint: Blueprint) -> None:
        _declare(blueprint, "POST", "/x", "documents:create")
        app.add_route(handler, "/x", methods=["HEAD", "OPTIONS"])

    with pytest.raises(UndeclaredRoute, match=r"HEAD /x .*OPTIONS /x"):
        check_routes(some_app("auto", add))


def test_head_comes_with_get_and_with_nothing_else() -> None:
    """RFC 9110, 9.1: with the same declaration, so that the policy is asked the same."""

    def add(_: Sanic[Any, Any], blueprint: Blueprint) -> None:
        _declare(blueprint, "GET", "/x", "documents:list")
        _declare(blueprint, "POST", "/x", "documents:create")

    app = some_app("head", add)
    check_routes(app)
    declared = {method: told for method, path, told in endpoints(app) if path == "/x"}
    assert set(declared) == {"GET", "HEAD", "POST"}
    assert declared["HEAD"] is declared["GET"]


def test_a_public_route_that_is_missing_is_refused() -> None:
    """The constant says what exists, so that it can be read instead of the router."""
    app: Sanic[Any, Any] = Sanic("missing", configure_logging=False)
    app.add_route(handler, "/healthz")
    app.finalize()
    with pytest.raises(UndeclaredRoute, match="GET /docs is in PUBLIC and has no route"):
        check_routes(app)


def test_every_fault_is_reported_at_once() -> None:
    """All of them are named in one message."""

    def add(app: Sanic[Any, Any], blueprint: Blueprint) -> None:
        app.add_route(handler, "/a")
        _declare(blueprint, "GET", "/b", None)

    with pytest.raises(UndeclaredRoute, match=r"GET /a .*GET /b"):
        check_routes(some_app("both", add))


def test_a_public_route_with_an_action_is_refused() -> None:
    """It would ask the policy about nobody: one of the two declarations is a mistake."""
    app: Sanic[Any, Any] = Sanic(f"public_{next(_numbers)}", configure_logging=False)
    blueprint = Blueprint(f"routes_{app.name}")
    for method, path in sorted(PUBLIC):
        if method != "HEAD":
            _declare_public(blueprint, method, path, "documents:list" if path == "/docs" else None)
    app.blueprint(blueprint)
    app.finalize()
    with pytest.raises(UndeclaredRoute, match="GET /docs is in PUBLIC and has an action"):
        check_routes(app)


def test_a_method_that_the_endpoint_does_not_declare_is_refused() -> None:
    """One endpoint for two methods: the policy would be asked about the wrong one."""

    def add(_: Sanic[Any, Any], blueprint: Blueprint) -> None:
        told = Endpoint(
            method="GET", name="x", summary="", action="documents:list", successes=NOTHING
        )
        blueprint.add_route(handler, "/x", methods=["GET", "POST"], name="x", ctx_endpoint=told)

    with pytest.raises(UndeclaredRoute, match="POST /x was added beside GET"):
        check_routes(some_app("beside", add))
