"""The versions of the API and all that will end, for ``GET /api``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from sanic import Sanic

from gateway.domain.versions import Ending, Version, midnight
from gateway.edge.http.endpoint import Endpoint
from gateway.edge.http.mounting import Api
from gateway.edge.http.routes import PARAMETER, endpoints
from gateway.flows.times import rfc3339
from gateway.ports import Clock

State = Literal["current", "supported", "deprecated", "ended"]


class ServedVersion(msgspec.Struct, frozen=True):
    """A version. ``current`` is the newest one; ``supported`` an older one without an end.

    ``deprecated`` and ``sunset`` (RFC 3339) are null where no day is set.
    """

    version: str
    path: str
    state: State
    since: str
    deprecated: str | None
    sunset: str | None
    openapi: str


class EndingRoute(msgspec.Struct, frozen=True):
    """A route that ends before its version does. ``successor`` takes its place."""

    method: str
    path: str
    state: State
    deprecated: str
    sunset: str | None
    successor: str | None


class Listing(msgspec.Struct, frozen=True):
    """All versions, from the oldest to the newest, and what of them ends by itself."""

    versions: list[ServedVersion]
    ending_routes: list[EndingRoute]


class ServedVersions:
    """What is served here, from the routes that the application has."""

    def __init__(self, api: Api, app: Sanic[Any, Any], clock: Clock) -> None:
        self._api = api
        self._app = app
        self._clock = clock

    def listing(self) -> Listing:
        """As it is now."""
        now = self._clock.time()
        told = [self._told(version, now) for version in self._api.versions]
        return Listing(told, list(self._ending_routes(now)))

    def _told(self, version: Version, now: float) -> ServedVersion:
        ending = version.ending
        usual: State = "current" if version == self._api.newest else "supported"
        return ServedVersion(
            version=version.name,
            path=version.prefix,
            state=_state(ending, now) if ending else usual,
            since=rfc3339(midnight(version.since).timestamp()),
            **_days(ending),
            openapi=f"{version.prefix}/openapi.json",
        )

    def _ending_routes(self, now: float) -> Iterator[EndingRoute]:
        for method, path, endpoint in endpoints(self._app):
            if endpoint is None or endpoint.ending is None or _ends_with_version(endpoint):
                continue
            successor = endpoint.ending.successor
            yield EndingRoute(
                method=method,
                path=PARAMETER.sub(r"{\1}", path),
                state=_state(endpoint.ending, now),
                **_days(endpoint.ending),
                successor=successor and PARAMETER.sub(r"{\1}", successor),
            )


def _ends_with_version(endpoint: Endpoint) -> bool:
    whole = None if endpoint.version is None else endpoint.version.ending
    own = endpoint.ending
    return (
        whole is not None
        and own is not None
        and (own.deprecated, own.sunset) == (whole.deprecated, whole.sunset)
    )


def _state(ending: Ending, now: float) -> State:
    return "ended" if ending.is_over(now) else "deprecated"


def _days(ending: Ending | None) -> dict[str, Any]:
    days = (None, None) if ending is None else (ending.deprecated, ending.sunset)
    told = [None if day is None else rfc3339(midnight(day).timestamp()) for day in days]
    return dict(zip(("deprecated", "sunset"), told, strict=True))
