"""Which routes stand in which version, and which ending holds there."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any

import pytest
from sanic import Blueprint, Request, Sanic
from sanic.response import HTTPResponse, empty

from gateway.domain.versions import Ending, Version
from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.mounting import Api, mount
from gateway.edge.http.routes import endpoints

_numbers = itertools.count()
OLD = Ending(date(2027, 1, 1), date(2029, 1, 1))
V1, V2 = Version(1, date(2026, 1, 1), OLD), Version(2, date(2027, 1, 1))


async def handler(_request: Request, **_: Any) -> HTTPResponse:
    return empty()


def mounted(*declared: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Path → what the route declares there, of GETs with these paths."""
    app: Sanic[Any, Any] = Sanic(f"mounting_{next(_numbers)}", configure_logging=False)
    group = Blueprint("things", url_prefix="/things")
    for number, (path, told) in enumerate(declared):
        fields = {"summary": "", "successes": (Success(204, "Nothing."),), **told}
        route(group, "GET", path, action="query:run", name=f"n{number}", **fields)(handler)
    mount(app, Api((V1, V2), (group,)))
    return {path: told for method, path, told in endpoints(app) if method == "GET"}


def test_a_route_stands_in_every_version_unless_it_says_otherwise() -> None:
    found = mounted(("/a", {}), ("/b", {"until": 1}), ("/c", {"since": 2}), ("/d", {"since": 3}))
    assert set(found) == {
        *("/api/v1/things/a", "/api/v1/things/b"),
        *("/api/v2/things/a", "/api/v2/things/c"),
    }
    assert [one.version for path, one in found.items() if path.endswith("/a")] == [V1, V2]


def test_a_route_is_replaced_by_one_of_the_same_path() -> None:
    """Each version has the declaration that is meant for it."""
    found = mounted(("/a", {"until": 1, "summary": "old"}), ("/a", {"since": 2, "summary": "new"}))
    assert found["/api/v1/things/a"].summary == "old"
    assert found["/api/v2/things/a"].summary == "new"
    assert found["/api/v1/things/a"].ending.successor == "/api/v2/things/a"


def test_a_route_ends_with_its_version_or_before() -> None:
    own = Ending(date(2027, 1, 1), date(2028, 1, 1))
    found = mounted(("/a", {}), ("/b", {"ending": own}), ("/c", {"until": 1}))
    assert found["/api/v1/things/a"].ending.sunset == date(2029, 1, 1)
    assert found["/api/v1/things/b"].ending.sunset == date(2028, 1, 1)
    assert found["/api/v1/things/c"].ending.successor is None
    assert found["/api/v2/things/a"].ending is None


@pytest.mark.parametrize("sunset", [None, date(2029, 1, 2)])
def test_no_route_is_promised_for_longer_than_its_version(sunset: date | None) -> None:
    with pytest.raises(ValueError, match="longer than v1"):
        mounted(("/a", {"until": 1, "ending": Ending(date(2027, 1, 1), sunset)}))
