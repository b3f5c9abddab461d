"""The document says what the router has, no more and no less, and the page loads nothing else."""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis

from blueprints.assets import FOR_GOOD
from blueprints.docs import assets
from gateway.edge.http.endpoint import PUBLIC, Endpoint
from gateway.edge.http.routes import endpoints
from gateway.errors import by_code

from .conftest import Gateway, running_gateway
from .raw import exchange, request
from .stub_core import StubCore


@pytest.fixture
async def document(gateway: Gateway) -> dict[str, Any]:
    response = await gateway.client.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    told: dict[str, Any] = response.json()
    return told


def template(path: str) -> str:
    return re.sub(r"<([a-z_]+):str>", r"{\1}", path)


def described(gateway: Gateway) -> list[tuple[str, str, Endpoint]]:
    return [
        (method, path, endpoint)
        for method, path, endpoint in endpoints(gateway.app)
        if endpoint is not None and endpoint.described
    ]


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): told
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    }


async def test_it_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    """By the specification's own schema."""
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()


async def test_it_lists_exactly_the_routes_there_are(
    gateway: Gateway, document: dict[str, Any]
) -> None:
    """Every route of the router is in it, but those for people, and nothing that is not."""
    routes = {(method, template(path)) for method, path, _ in described(gateway)}
    assert set(operations(document)) == routes
    assert {path for _, path, one in endpoints(gateway.app) if one and not one.described} == {
        *("/", "/console", "/console/assets/<asset:path>", "/docs/assets/<asset:path>"),
    }


async def test_each_operation_tells_its_permission_body_and_answers(
    gateway: Gateway, document: dict[str, Any]
) -> None:
    """Action, body types, every success and every declared error are those of the route."""
    told = operations(document)
    for method, path, endpoint in described(gateway):
        operation = told[method, template(path)]
        assert operation.get("x-action") == endpoint.action
        assert bool(operation["security"]) == ((method, path) not in PUBLIC)
        types = set(operation.get("requestBody", {}).get("content", {}))
        expected = {"application/json"} if endpoint.body is not None else set()
        assert types == (expected | {"multipart/form-data"} if endpoint.accepts_form else expected)
        answers = operation["responses"]
        assert {str(success.status) for success in endpoint.successes} <= set(answers)
        for error in endpoint.errors:
            assert error.code in answers[str(error.status)]["description"]


async def test_operation_ids_are_words_and_each_its_own(document: dict[str, Any]) -> None:
    """They become function names in generated clients."""
    ids = [told["operationId"] for told in operations(document).values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", one) for one in ids), ids


async def test_every_path_parameter_is_told(document: dict[str, Any]) -> None:
    """A name in braces has its parameter, and the other way round."""
    for (_, path), told in operations(document).items():
        named = {one["name"] for one in told["parameters"] if one["in"] == "path"}
        assert named == set(re.findall(r"{([a-z_]+)}", path))


async def test_every_error_has_the_one_shape_and_its_headers(document: dict[str, Any]) -> None:
    """Errors are ``Error``; a 401 challenges, and all answers carry the request's id."""
    reference = {"$ref": "#/components/schemas/Error"}
    for (method, path), told in operations(document).items():
        for status, answer in told["responses"].items():
            assert "X-Request-ID" in answer["headers"]
            if method == "HEAD":
                assert "content" not in answer
            elif int(status) >= 400:
                schema = answer["content"]["application/json"]["schema"]
                # A message that names no method is refused by JSON-RPC alone.
                by_rpc = (method, path, status) == ("POST", "/mcp", "404")
                assert by_rpc or schema == reference or reference in schema["anyOf"], (path, status)
        if "401" in told["responses"]:
            assert "WWW-Authenticate" in told["responses"]["401"]["headers"]
        assert "Retry-After" in told["responses"]["503"]["headers"] or path == "/readyz"
    code = document["components"]["schemas"]["Error"]["properties"]["error"]["properties"]["code"]
    assert code["enum"] == sorted(by_code())


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    """And every schema is used."""
    found = set(re.findall(r"#/components/schemas/(\w+)", repr(document)))
    assert found == set(document["components"]["schemas"])


async def test_the_page_loads_nothing_from_elsewhere(gateway: Gateway) -> None:
    """It works with no network: its files are the gateway's, and no other address is in them."""
    answer = await exchange(gateway.address, request("GET", "/docs"))
    assert answer.header("content-type") == "text/html; charset=utf-8"
    # A data: address is the page's own bytes: its icon, which may name the SVG namespace.
    page = re.sub(r'<link rel="icon" href="data:[^"]*">', "", answer.body.decode())
    assert not re.search(r"https?://|[\"'`(=]//", page)
    assert not re.search(r"<(img|iframe|object|embed|base|form|video|audio|style)\b", page, re.I)
    loaded = set(re.findall(r'(?:href|src)="([^"]*)"', page)) - {"openapi.json"}
    assert {one.partition("/")[0] for one in loaded} == {"docs"}
    for target in loaded:
        found = await exchange(gateway.address, request("GET", f"/{target}"))
        assert (found.status, found.header("cache-control")) == (200, FOR_GOOD), target
        assert not re.search(r"@import|\burl\(|\beval\(", found.body.decode()), target


async def test_the_page_has_its_files_where_there_is_no_console(core: StubCore) -> None:
    """Those that it shares with the console, too; but none of the console's own."""
    async with running_gateway(core, CONSOLE="off") as gateway:
        target = f"/docs/assets/{assets().digest}"
        for name, status in (("docs/page.js", 200), ("dom.js", 200), ("app.js", 404)):
            answer = await exchange(gateway.address, request("GET", f"{target}/{name}"))
            assert answer.status == status, name


async def test_the_pages_policy_allows_its_own_files_and_nothing_else(gateway: Gateway) -> None:
    """Scripts and styles of the gateway's; nothing inline, and calls to the gateway alone."""
    answer = await exchange(gateway.address, request("GET", "/docs"))
    policy = dict(
        part.strip().split(" ", 1)
        for part in (answer.header("content-security-policy") or "").split(";")
    )
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script>|\son[a-z]+=|\sstyle=", answer.body.decode())
