"""The start-up check of the router: no route without an action or a place in ``PUBLIC``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sanic import Sanic

from gateway.domain.actions import ACTIONS
from gateway.edge.http.endpoint import PUBLIC, Endpoint


class UndeclaredRoute(RuntimeError):
    """A route that nobody guards: the gateway does not start with one."""


def endpoints(app: Sanic[Any, Any]) -> Iterator[tuple[str, str, Endpoint | None]]:
    """Every (method, path template, endpoint) that the router really has."""
    for route in app.router.routes:
        for method in sorted(route.methods):
            yield method, f"/{route.path}", getattr(route.ctx, "endpoint", None)


def check_routes(app: Sanic[Any, Any]) -> None:
    """Raises ``UndeclaredRoute`` naming every route that is wrong, all at once."""
    faults = [
        fault for method, path, told in endpoints(app) if (fault := _fault(method, path, told))
    ]
    found = {(method, path) for method, path, _ in endpoints(app)}
    faults += [f"{method} {path} is in PUBLIC and has no route" for method, path in PUBLIC - found]
    if faults:
        raise UndeclaredRoute("; ".join(sorted(faults)))


def _fault(method: str, path: str, told: Endpoint | None) -> str | None:
    public = (method, path) in PUBLIC
    if told is None:
        return f"{method} {path} declares no endpoint"
    if told.method != method:
        return f"{method} {path} was added beside {told.method} and is not declared"
    if public and told.action is not None:
        return f"{method} {path} is in PUBLIC and has an action"
    if not public and told.action not in ACTIONS:
        return f"{method} {path} has no known action"
    if told.any_owner and f"{told.action}:any-owner" not in ACTIONS:
        return f"{method} {path} takes ?owner= and has no {told.action}:any-owner action"
    return None
