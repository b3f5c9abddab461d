"""The start-up check of the router: what each route must declare before the gateway serves it.

Each has an action or a place in ``PUBLIC`` or ``BY_MESSAGE``, and its path no parameter but the one
that ``resource_id`` names. With any other the policy would be asked without an id, and the id would
reach the handler without a check of its spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sanic import Sanic

from gateway.domain.actions import ACTIONS, for_any_owner
from gateway.domain.versions import VERSIONS
from gateway.edge.http.endpoint import (
    BY_MESSAGE,
    PUBLIC,
    Endpoint,
    public_in,
    public_where_on,
)
from gateway.edge.http.resource_ids import ID_SPELLINGS

PARAMETER = re.compile(r"<([a-z_]+)(?::[^>]*)?>")


class UndeclaredRoute(RuntimeError):
    """A route lacks a declaration the pipeline needs; the gateway does not start with one."""


def endpoints(app: Sanic[Any, Any]) -> Iterator[tuple[str, str, Endpoint | None]]:
    """Every (method, path template, endpoint) that the router really has."""
    for route in app.router.routes:
        for method in sorted(route.methods):
            yield method, f"/{route.path}", getattr(route.ctx, "endpoint", None)


def counted(app: Sanic[Any, Any]) -> list[tuple[str, str]]:
    """Method and template of each route that requests are counted by.

    With those that other settings would switch on: where what is counted depends on the release
    alone, because a reload changes settings while older workers run.
    """
    there = {(method, path) for method, path, _ in endpoints(app)}
    return sorted(there | public_where_on(VERSIONS))


def methods_of(app: Sanic[Any, Any]) -> frozenset[str]:
    """What is implemented at all: the routes' methods, and OPTIONS, which asks for them."""
    taken = {method for route in app.router.routes for method in route.methods}
    return frozenset(taken | {"OPTIONS"})


def check_routes(app: Sanic[Any, Any]) -> None:
    """Raises ``UndeclaredRoute`` naming every route that is wrong, all at once."""
    found = list(endpoints(app))
    versions = {one.version for _, _, one in found if one is not None and one.version is not None}
    public = public_in(versions) if versions else PUBLIC
    faults = [
        fault
        for method, path, declared in found
        if (
            fault := _action_fault(method, path, declared, public | public_where_on(versions))
            or _id_fault(method, path, declared)
        )
    ]
    missing = public - {(method, path) for method, path, _ in found}
    faults += [f"{method} {path} is in PUBLIC and has no route" for method, path in missing]
    if faults:
        raise UndeclaredRoute("; ".join(sorted(faults)))


def _action_fault(
    method: str, path: str, declared: Endpoint | None, all_public: frozenset[tuple[str, str]]
) -> str | None:
    public = (method, path) in all_public
    if declared is None:
        return f"{method} {path} declares no endpoint"
    if method not in declared.methods:
        return f"{method} {path} was added beside {declared.method} and is not declared"
    if public and declared.action is not None:
        return f"{method} {path} is in PUBLIC and has an action"
    if (method, path) in BY_MESSAGE and declared.kind == "messages" and declared.action is None:
        return None
    if not public and declared.action not in ACTIONS:
        return f"{method} {path} has no known action"
    if declared.any_owner and for_any_owner(declared.action or "") not in ACTIONS:
        return f"{method} {path} takes ?owner= and has no {declared.action}:any-owner action"
    return None


def _id_fault(method: str, path: str, declared: Endpoint | None) -> str | None:
    named = declared.resource_id if declared is not None else None
    parameters = PARAMETER.findall(path)
    if named is not None and named not in parameters:
        return f"{method} {path} has no parameter {named}, which is its resource_id"
    if unnamed := [name for name in parameters if name != named]:
        return f"{method} {path} has a parameter {unnamed[0]} that is not its resource_id"
    if named is not None and named not in ID_SPELLINGS:
        return f"{method} {path} has an id {named} whose spelling is not in ID_SPELLINGS"
    return None
