"""What the pipeline asks of a request's cookies; made only where browsers can sign in.

A cookie is a credential as a header is, but for one thing: the browser sends it, whoever's page
asked. ``domain.own_pages`` says how the gateway's own pages are told from all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from sanic import Request

from gateway.domain.cookies import CookieNames, values_of
from gateway.domain.own_pages import (
    CSRF_HEADER,
    Values,
    comes_from,
    may_use_cookie,
    origin_of,
    path_of,
)
from gateway.edge.http.endpoint import endpoint_of
from gateway.errors import AmbiguousCredentials, Forbidden, Unauthenticated
from gateway.settings import Settings

_REFUSAL = (
    "With a session cookie this takes requests from pages of its own origin alone, with the header"
    f" {CSRF_HEADER}: 1."
)


class SessionCookies:
    """Args: ``public_url`` is where browsers reach the gateway.

    Attributes:
        origin: of the gateway's own pages, as browsers write it.
        path: what stands before its paths there; empty where it has the host for itself.
        ended: a ``Set-Cookie`` for a session that is none any more.
    """

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """``None`` where browsers do not sign in: then no cookie is looked at."""
        if not settings.signs_in_browsers or settings.public_url is None:
            return None
        return cls(settings.public_url)

    def __init__(self, public_url: str) -> None:
        self.origin = origin_of(public_url)
        self.path = path_of(public_url)
        self.names = CookieNames(secure=public_url.startswith("https://"))
        self.ended = self.names.drop(self.names.session)

    def is_own_page(self, request: Request) -> bool:
        return comes_from(_values(request), self.origin)

    def presented(self, request: Request) -> list[str]:
        """The values of the session cookie, none as a rule.

        Raises:
            Forbidden: it is all that the request brought, and another origin's page may have sent
                it.
        """
        headers = request.headers
        found = values_of(headers.getall("cookie", []), self.names.session)
        alone = "authorization" not in headers and "x-api-key" not in headers
        if found and alone and not self._may_use_cookie(request):
            raise Forbidden(_REFUSAL)
        return found

    def drop(self, refusal: Unauthenticated) -> None:
        """Has the browser forget a session that is none any more: it would go on sending it.

        Not where it was only one credential too many.
        """
        if not isinstance(refusal, AmbiguousCredentials):
            refusal.headers["Set-Cookie"] = self.ended

    def _may_use_cookie(self, request: Request) -> bool:
        endpoint = endpoint_of(request)
        if endpoint is not None and endpoint.kind == "socket":
            return self.is_own_page(request)
        return may_use_cookie(request.method, _values(request), self.origin)


def _values(request: Request) -> Values:
    headers = request.headers

    def values(name: str) -> Sequence[str]:
        found: Sequence[str] = headers.getall(name, [])
        return found

    return values
