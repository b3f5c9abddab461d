"""Signing in at the company's provider with a browser, where the settings name one."""

from __future__ import annotations

import msgspec
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, empty

from gateway.domain.actions import LOGIN
from gateway.domain.code_flow import Answer
from gateway.domain.cookies import SIGN_INS_LIMIT, read_cookies
from gateway.edge.http.endpoint import Success, route, version_of
from gateway.edge.http.session_cookies import SessionCookies
from gateway.edge.scope import scope_of
from gateway.errors import (
    GatewayError,
    Overloaded,
    RateLimited,
    SignInFailed,
    SignInUnavailable,
    Unauthenticated,
)
from gateway.flows.browser_sign_in import BrowserSignIn
from gateway.flows.login import LoginAttempt

blueprint = Blueprint("sign_in", url_prefix="/auth/oidc")


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``return_to`` is a path of the gateway's origin, for after the sign-in.

    Without it the browser ends at `auth/me`, which shows who was let in.
    """

    return_to: str | None = None


@route(
    blueprint,
    "GET",
    "/start",
    action=None,
    name="start",
    summary="Sign in at the company's provider: leads a browser there",
    query=Start,
    successes=(Success(302, "To the provider, with a cookie for the way back.", location=True),),
    errors=(SignInUnavailable,),
)
async def start(
    request: Request, sign_in: BrowserSignIn, cookies: SessionCookies, query: Start
) -> HTTPResponse:
    usual = f"{cookies.path}{version_of(request).prefix}/auth/me"
    return_to = usual if query.return_to is None else query.return_to
    begun = await sign_in.begin(return_to, _callback(request))
    name = cookies.names.sign_in(begun.state)
    fields = [
        cookies.names.set(name, begun.sealed, begun.lifetime_s),
        *_make_room(request, cookies),
    ]
    return _redirect(begun.location, fields)


@route(
    blueprint,
    "GET",
    "/callback",
    action=None,
    public_action=LOGIN,
    name="callback",
    summary="Where the provider sends the browser back to: gives it a session",
    query=Answer,
    successes=(Success(302, "To where the sign-in was to return, with a session.", location=True),),
    errors=(SignInFailed, SignInUnavailable, RateLimited, Overloaded),
)
async def callback(
    request: Request, sign_in: BrowserSignIn, cookies: SessionCookies, query: Answer
) -> HTTPResponse:
    name = cookies.names.sign_in(query.state)
    sealed = read_cookies(request.headers.getall("cookie", [])).get(name, [])
    scope = scope_of(request)
    try:
        found = await sign_in.finish(query, sealed, _callback(request))
    except Unauthenticated as failure:
        # It is used up. Behind a fault of the provider it is kept: the page may be asked for again.
        _with(failure, cookies.names.drop(name))
        raise
    who = found.principal
    scope.login = LoginAttempt(who.subject, who.tenant, token_id=who.credential_id, method="oidc")
    session = cookies.names.set(cookies.names.session, found.sealed, found.lifetime_s)
    return _redirect(cookies.origin + found.return_to, [session, cookies.names.drop(name)])


def _callback(request: Request) -> str:
    """Of the same version: it is what was registered at the provider."""
    return f"{version_of(request).prefix}{blueprint.url_prefix}/callback"


def _make_room(request: Request, cookies: SessionCookies) -> list[str]:
    """Ends what is too much: a page that begins sign-ins without end would fill each head."""
    names = cookies.names.sign_ins(read_cookies(request.headers.getall("cookie", [])))
    # Browsers send those first that were set first.
    surplus = names[: max(len(names) - SIGN_INS_LIMIT + 1, 0)]
    return [cookies.names.drop(name) for name in surplus]


def _with(failure: GatewayError, set_cookie: str) -> None:
    failure.headers["Set-Cookie"] = set_cookie


def _redirect(location: str, cookies: list[str]) -> HTTPResponse:
    response = empty(302, {"Location": location})
    for one in cookies:
        response.headers.add("Set-Cookie", one)
    return response
