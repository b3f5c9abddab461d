"""Logging in, and the identity the gateway takes a caller for."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from sanic import Blueprint, Request
from sanic.response import HTTPResponse, empty

from gateway.domain.actions import LOGIN
from gateway.edge.context import context_of
from gateway.edge.http.endpoint import Success, route
from gateway.edge.http.limit_stages import note
from gateway.edge.http.render import json_response
from gateway.edge.http.session_cookies import SessionCookies
from gateway.edge.scope import scope_of
from gateway.errors import (
    Conflict,
    InvalidCredentials,
    Overloaded,
    RateLimited,
    SharedStateUnavailable,
    StorageUnavailable,
)
from gateway.flows.login import Login
from gateway.flows.logout import Logout
from gateway.flows.times import rfc3339

blueprint = Blueprint("auth", url_prefix="/auth")
# The same login at the root, which the seed's clients use.
root_blueprint = Blueprint("login", url_prefix="/auth")


# Anybody may send one. The longest name and password take 13 KiB with all their letters escaped.
LOGIN_LIMIT_BYTES = 16 * 1024


class Credentials(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A user's name and password."""

    username: Annotated[str, Meta(min_length=1, max_length=64)]
    password: Annotated[str, Meta(min_length=1, max_length=1024)]

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password='***')"


class Token(msgspec.Struct, frozen=True):
    """A fresh token: ``expires_in`` seconds from now, at ``expires_at`` (RFC 3339)."""

    access_token: str
    token_type: str
    expires_in: int
    expires_at: str


class Ended(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a logout ends: the token that was sent, or all that its user has."""

    all: Literal["true", "false"] = "false"


class Me(msgspec.Struct, frozen=True):
    """Who the gateway takes you for. ``scopes`` is null for a token: no narrowing.

    ``auth_method`` is ``jwt``, ``api_key``, ``oidc`` for a token of the company's provider, or
    ``session`` for a browser that signed in there. Its
    people alone have a ``name``.
    """

    subject: str
    tenant: str
    roles: list[str]
    scopes: list[str] | None
    auth_method: str
    expires_at: str | None
    name: str | None


async def log_in(request: Request, login: Login, body: Credentials) -> HTTPResponse:
    scope = scope_of(request)
    # Before the check: whatever comes of it, the log says whom it was about.
    scope.login = login.attempt(body.username)
    note(scope, await login.counted(body.username))
    issued = await login.login(body.username, body.password, scope.client_ip)
    scope.login = replace(scope.login, token_id=issued.token_id)
    return json_response(
        {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "expires_at": rfc3339(issued.expires_at),
        }
    )


for place in (blueprint, root_blueprint):
    route(
        place,
        "POST",
        "/login",
        action=None,
        public_action=LOGIN,
        name="login",
        summary="Log in with username and password",
        body=Credentials,
        body_limit_bytes=LOGIN_LIMIT_BYTES,
        successes=(Success(200, "A token to send as `Authorization: Bearer`.", Token),),
        errors=(InvalidCredentials, RateLimited, Overloaded),
    )(log_in)


@route(
    blueprint,
    "GET",
    "/me",
    action="auth:me",
    name="me",
    summary="Who the gateway takes you for",
    successes=(Success(200, "The caller's identity.", Me),),
)
async def me(request: Request) -> HTTPResponse:
    caller = scope_of(request).caller
    return json_response(
        {
            "subject": caller.subject,
            "tenant": caller.tenant,
            "roles": sorted(caller.roles),
            "scopes": None if caller.scopes is None else sorted(caller.scopes),
            "auth_method": caller.auth,
            "expires_at": None if caller.expires_at is None else rfc3339(caller.expires_at),
            "name": caller.name,
        }
    )


@route(
    blueprint,
    "POST",
    "/logout",
    action="auth:logout",
    name="logout",
    summary="End your token, or all that you have, everywhere at once",
    query=Ended,
    successes=(Success(204, "Ended."),),
    errors=(Conflict, StorageUnavailable, SharedStateUnavailable, Overloaded),
)
async def log_out(request: Request, logout: Logout, query: Ended) -> HTTPResponse:
    scope = scope_of(request)
    assert scope.credential is not None, "a route with an action has a caller"
    is_session = scope.credential.kind == "session"
    await logout.log_out(scope.credential, scope.deadline, all_tokens=query.all == "true")
    if not is_session:
        return empty(204)
    cookies = context_of(request.app).provided[SessionCookies]
    assert isinstance(cookies, SessionCookies)
    return empty(204, {"Set-Cookie": cookies.ended})
