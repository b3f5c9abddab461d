"""What a client is told of a route that will end, and what it gets once that day has come.

``Deprecation`` (RFC 9745) and ``Sunset`` (RFC 8594) tell the two days, ``Link`` where to read more,
and what takes the route's place. Made only where some route has an ending.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse

from gateway.domain.versions import ROOT, Ending
from gateway.edge.http.endpoint import Endpoint, endpoint_of
from gateway.edge.http.resource_ids import ID_SPELLINGS
from gateway.edge.http.routes import PARAMETER, endpoints
from gateway.edge.scope import Scope
from gateway.errors import Gone
from gateway.ports import Clock
from gateway.telemetry.metric import NONE


class Endings:
    """The stage that refuses what is over, and the fields of what is not over yet.

    Args:
        public_url: the gateway's address as clients know it; empty where links have a path alone.
        serves_ended: routes go on past their sunset.
    """

    def __init__(self, clock: Clock, *, public_url: str, serves_ended: bool) -> None:
        self._clock = clock
        self._public_url = public_url
        self._serves_ended = serves_ended

    async def refuse_ended(
        self, request: Request, _scope: Scope, endpoint: Endpoint | None
    ) -> None:
        """Whoever asks: it is told before a credential is looked at, as a 404 is."""
        ending = None if endpoint is None else endpoint.ending
        if ending is None or self._serves_ended or not ending.is_over(self._clock.time()):
            return
        successor = _successor(request, ending)
        details = {"sunset": f"{ending.sunset}T00:00:00Z", "versions": self._public_url + ROOT}
        if successor is not None:
            details["successor"] = self._public_url + successor
        raise Gone(details=details)

    def decorate(self, request: Request, response: BaseHTTPResponse) -> None:
        """Adds the fields to an answer of a route that will end."""
        for name, value in self.fields(request):
            response.headers.add(name, value)

    def fields(self, request: Request) -> Iterator[tuple[str, str]]:
        """Name and value of each field; none where the route stays."""
        endpoint = endpoint_of(request)
        ending = None if endpoint is None else endpoint.ending
        if ending is None:
            return
        yield from ending.fields()
        yield "Link", ", ".join(self._links(request, ending))

    def _links(self, request: Request, ending: Ending) -> Iterator[str]:
        more = self._public_url + ROOT
        yield f'<{more}>; rel="deprecation"; type="application/json"'
        if ending.sunset is not None:
            yield f'<{more}>; rel="sunset"; type="application/json"'
        successor = _successor(request, ending)
        if successor is not None:
            yield f'<{self._public_url}{successor}>; rel="successor-version"'


def endings_of(
    app: Sanic[Any, Any], clock: Clock, *, public_url: str, serves_ended: bool
) -> Endings | None:
    """What stands for the endings of ``app``'s routes; ``None`` where none of them will end."""
    if not any(found and found.ending for _, _, found in endpoints(app)):
        return None
    return Endings(clock, public_url=public_url, serves_ended=serves_ended)


def going(endpoint: Endpoint | None) -> str | None:
    """The version's name, if the route will end; ``none`` for one at the root; else ``None``."""
    if endpoint is None or endpoint.ending is None:
        return None
    return NONE if endpoint.version is None else endpoint.version.name


def _successor(request: Request, ending: Ending) -> str | None:
    """The successor's template with what this request has in its place of the parameters.

    A client chose those: where one is not spelled as its kind is, there is no link.
    """
    if ending.successor is None:
        return None
    given = request.match_info
    names = PARAMETER.findall(ending.successor)
    if not all(ID_SPELLINGS[name].accepts(str(given.get(name, ""))) for name in names):
        return None
    return PARAMETER.sub(lambda found: str(given[found[1]]), ending.successor)
