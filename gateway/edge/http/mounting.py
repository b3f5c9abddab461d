"""Puts each route below each version that it stands in, and says there when it ends.

A blueprint of the API declares its routes once. For each version a copy of it is made, with those
of its routes that the version has; so two versions are served side by side, by the same handlers
wherever nothing differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sanic import Blueprint, Sanic

from gateway.domain.versions import Ending, Version
from gateway.edge.http.endpoint import Declared, Endpoint, declared_on, register


@dataclass(frozen=True, slots=True)
class Api:
    """What is served below the versions' prefixes.

    Attributes:
        versions: from the oldest to the newest.
        groups: blueprints with all routes of all versions.
    """

    versions: Sequence[Version]
    groups: Sequence[Blueprint]

    @property
    def newest(self) -> Version:
        return self.versions[-1]


def mount(app: Sanic[Any, Any], api: Api) -> None:
    """Registers the routes of all versions with ``app``.

    Raises:
        ValueError: a route is to end later than a version that it stands in.
    """
    for version in api.versions:
        for group in api.groups:
            copy = Blueprint(
                f"{group.name}_{version.name}",
                url_prefix=f"{version.prefix}{group.url_prefix or ''}",
            )
            for declared in _standing_in(version, group):
                register(copy, _placed(declared, version, api, group))
            app.blueprint(copy)


def _standing_in(version: Version, group: Blueprint) -> Iterator[Declared]:
    for declared in declared_on(group):
        if _stands_in(declared.endpoint, version):
            yield declared


def _stands_in(endpoint: Endpoint, version: Version) -> bool:
    last = endpoint.until
    return endpoint.since <= version.number and (last is None or version.number <= last)


def _placed(declared: Declared, version: Version, api: Api, group: Blueprint) -> Declared:
    """``declared`` as it is in ``version``, with the ending that holds there."""
    ending = _ending(declared.endpoint, version)
    if ending is not None and ending.successor is None:
        ending = replace(ending, successor=_successor(declared, version, api, group))
    return declared._replace(endpoint=replace(declared.endpoint, version=version, ending=ending))


def _ending(endpoint: Endpoint, version: Version) -> Ending | None:
    """The route's own, if it has one, else its version's.

    Raises:
        ValueError: its own is after its version's.
    """
    own, whole = endpoint.ending, version.ending
    if own is None or whole is None:
        return own or whole
    if whole.sunset is not None and (own.sunset is None or own.sunset > whole.sunset):
        raise ValueError(f"{endpoint.name} would be served longer than {version.name}, its version")
    return own


def _successor(declared: Declared, version: Version, api: Api, group: Blueprint) -> str | None:
    """The same path with the same method in the next version that has it."""
    sought = (group.url_prefix or "", declared.path, declared.endpoint.method)
    for later in api.versions:
        if later.number <= version.number:
            continue
        for other in api.groups:
            for one in _standing_in(later, other):
                if (other.url_prefix or "", one.path, one.endpoint.method) == sought:
                    return f"{later.prefix}{other.url_prefix or ''}{declared.path}"
    return None
