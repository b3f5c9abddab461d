"""The way of every request: scope → OPTIONS → drain → address limits → still served → who are you →
may you → limits → body → handler.

The order matters. The scope comes first, so that every refusal has an id and a log line. Preflights
carry no credential and are answered before one is asked for; no refusal goes before them, because
a browser lets a page read one only when the preflight went well. Authentication precedes the
policy's question, which names the principal. The id in the path is part of that question, so its
spelling is checked first: a misspelled one is 404, whatever the caller may do. The head alone
decides all of this; the endpoint reads the body behind these stages (``bodies.py``). Sanic also
runs this on its own errors (404, 405): no route was matched, so the last stages do nothing. The
limits are stages only where some are set: those per address come before a credential is looked at,
as looking costs, all others after the verdict, which may change them. Whether a route is still
served is a stage only where one is going to end.

On the way out ``on_response`` adds the headers every answer has, then the entity tag where the
route has one, then compresses, then logs: the log counts what is really sent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from sanic import Request
from sanic.http import Http
from sanic.response import BaseHTTPResponse, HTTPResponse, empty

from gateway.domain.actions import for_any_owner
from gateway.domain.forwarded import Network
from gateway.domain.identity import is_name
from gateway.domain.ids import is_request_id, new_uuid7
from gateway.domain.limit_fields import header_fields
from gateway.domain.policy import POLICY_BROKEN, Decision, PolicyQuestion, Resource
from gateway.edge.http import compress, validators
from gateway.edge.http.bodies import drop_body, query_pairs
from gateway.edge.http.cors import Cors
from gateway.edge.http.endings import Endings, going
from gateway.edge.http.endpoint import Endpoint, endpoint_of
from gateway.edge.http.limit_stages import LimitStages, add_fields
from gateway.edge.http.protected_resource import ProtectedResource
from gateway.edge.http.resource_ids import ID_SPELLINGS
from gateway.edge.http.routes import methods_of
from gateway.edge.http.session_cookies import SessionCookies
from gateway.edge.observe import access_log, spans
from gateway.edge.scope import Scope, deadline_in, now_s
from gateway.edge.wire.peer import client_ip, traceparent
from gateway.edge.wire.security_headers import security_headers
from gateway.errors import (
    Draining,
    Forbidden,
    NotFound,
    PolicyUnavailable,
    Unauthenticated,
    ValidationFailed,
)
from gateway.flows.authenticate import Authenticator
from gateway.flows.credentials import credentials
from gateway.ports import Clock, Policy
from gateway.telemetry.tracing import Tracer

RequestStage = Callable[[Request, Scope, Endpoint | None], Awaitable[HTTPResponse | None]]


class DrainState(Protocol):
    """The stages of the worker's drain, which ``edge.lifecycle.Lifecycle`` explains."""

    @property
    def draining(self) -> bool: ...

    @property
    def ending(self) -> bool: ...


class Pipeline:
    """The request and response middleware of the public application."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        policy: Policy,
        clock: Clock,
        cors: Cors,
        drain: DrainState,
        io_deadline_s: float,
        compress_min_bytes: int,
        trusted_proxies: Sequence[Network] = (),
        tracer: Tracer | None = None,
        hsts_s: int = 0,
        limits: LimitStages | None = None,
        endings: Endings | None = None,
        resource: ProtectedResource | None = None,
        sessions: SessionCookies | None = None,
    ) -> None:
        self._authenticator = authenticator
        self._policy = policy
        self._clock = clock
        self._cors = cors
        self._drain = drain
        self._io_deadline_s = io_deadline_s
        self._compress_min_bytes = compress_min_bytes
        self._trusted = tuple(trusted_proxies)
        self._tracer = tracer
        self._endings = endings
        self._resource = resource
        self._sessions = sessions
        self._security_headers = tuple(security_headers(hsts_s).items())
        # What is called and by whom decides these, and nothing of what it is called with.
        self._first_stages: tuple[RequestStage, ...] = (
            self._refuse_while_ending,
            *(() if limits is None else limits.before_identity),
            *(() if endings is None else (endings.refuse_ended,)),
            self._authenticate,
        )
        self._last_stages: tuple[RequestStage, ...] = (
            self._authorize,
            *(() if limits is None else limits.after_verdict),
        )
        self.request_stages: tuple[RequestStage, ...] = (
            self._answer_options,
            *self._first_stages,
            *self._last_stages,
        )

    async def on_request(self, request: Request) -> HTTPResponse | None:
        """Sanic request middleware; raises ``GatewayError`` for every refusal."""
        if getattr(request.ctx, "scope", None) is not None:
            # Sanic comes here again with a failure behind these stages, such as a late body.
            return None
        scope, endpoint = self.open_scope(request), endpoint_of(request)
        for stage in self.request_stages:
            response = await stage(request, scope, endpoint)
            if response is not None:
                return response
        return None

    async def ask_again(self, request: Request) -> None:
        """All but the preflight once more, where much time went by: a key may be revoked by now.

        Raises:
            GatewayError: what refuses the request now.
        """
        await self.admit(request)

    async def admit(self, request: Request) -> Scope:
        """All but the preflight, for a request that a door made of a client's message.

        Raises:
            GatewayError: what refuses it.
        """
        scope, endpoint = self.open_scope(request), endpoint_of(request)
        for stage in self.request_stages[1:]:
            await stage(request, scope, endpoint)
        return scope

    async def let_in(self, request: Request) -> None:
        """The first half of ``admit``: who asks, before it is read what is asked.

        Raises:
            GatewayError: nobody who may ask anything now.
        """
        scope, endpoint = self.open_scope(request), endpoint_of(request)
        for stage in self._first_stages:
            await stage(request, scope, endpoint)

    async def allow(self, request: Request) -> None:
        """The second half of ``admit``, for a request that has the scope of the first.

        Raises:
            GatewayError: it may not be done, or not now.
        """
        scope, endpoint = self.open_scope(request), endpoint_of(request)
        for stage in self._last_stages:
            await stage(request, scope, endpoint)

    async def on_response(self, request: Request, response: BaseHTTPResponse) -> None:
        """Sanic response middleware; for a stream it runs when the head is made."""
        scope = self.open_scope(request)
        response.headers["X-Request-ID"] = scope.request_id
        for name, value in self._security_headers:
            response.headers.setdefault(name, value)
        if scope.limits or scope.quotas:
            add_fields(response, scope, self._clock.time())
        if self._endings is not None:
            self._endings.decorate(request, response)
        if response.status == 401 and self._resource is not None:
            self._resource.point(request, response)
        self._cors.decorate(request, response)
        if self._drain.draining:
            _close_after(request)
        if not scope.streamed:
            scope.give_back()
            endpoint = endpoint_of(request)
            if endpoint is not None and endpoint.validated:
                validators.apply(request, response, self._compress_min_bytes)
            await compress.apply(request, response, self._compress_min_bytes)
            access_log.write(request, scope, response.status, _body_bytes(request, response))

    def limit_fields(self, scope: Scope) -> tuple[str, str] | None:
        """``RateLimit-Policy`` and ``RateLimit``, for a door whose answers have no headers."""
        if not (scope.limits or scope.quotas):
            return None
        return header_fields(scope.limits, scope.quotas, self._clock.time())

    def admits_origin(self, request: Request) -> bool:
        """Whether the page that asks may, if it is one; for what no preflight guards.

        The gateway's own pages need no list where browsers sign in.
        """
        own = self._sessions is not None and self._sessions.is_own_page(request)
        return own or self._cors.admits(request)

    def session_of(self, request: Request) -> Sequence[str]:
        """The session cookie's values; ``Forbidden`` where another origin's page may send it."""
        return () if self._sessions is None else self._sessions.presented(request)

    def ending_fields(self, request: Request) -> Iterable[tuple[str, str]]:
        """For an answer that does not come by here: what is told of a route that will end."""
        return () if self._endings is None else self._endings.fields(request)

    def open_scope(self, request: Request) -> Scope:
        """The request's scope, made at the first call: an early error may come before any stage."""
        scope: Scope | None = getattr(request.ctx, "scope", None)
        if scope is None:
            endpoint = endpoint_of(request)
            scope = Scope(
                request_id=self._request_id(request),
                client_ip=client_ip(request, self._trusted),
                traceparent=traceparent(request),
                started_s=now_s(),
                deadline=deadline_in(self._io_deadline_s),
                door="http" if endpoint is None else endpoint.door,
                going=going(endpoint),
            )
            request.ctx.scope = scope
            spans.begin(self._tracer, request, scope)
        return scope

    def _request_id(self, request: Request) -> str:
        given = request.headers.getall("x-request-id", [])
        if len(given) == 1 and is_request_id(given[0]):
            return str(given[0])
        return new_uuid7(self._clock.time())

    async def _answer_options(
        self, request: Request, _scope: Scope, _endpoint: Endpoint | None
    ) -> HTTPResponse | None:
        """The two that no route answers: a preflight, and ``OPTIONS *`` (RFC 9110, 9.3.7)."""
        if request.method != "OPTIONS":
            return None
        preflight = self._cors.preflight(request)
        if preflight is None and request.raw_url != b"*":
            return None
        # They have no use for a body, and Sanic logs as an error what a good answer left unread.
        await drop_body(request)
        if preflight is not None:
            return preflight
        return empty(204, {"Allow": ", ".join(sorted(methods_of(request.app)))})

    async def _refuse_while_ending(
        self, _request: Request, _scope: Scope, endpoint: Endpoint | None
    ) -> None:
        if self._drain.ending and endpoint is not None and endpoint.kind != "plain":
            raise Draining

    async def _authenticate(
        self, request: Request, scope: Scope, endpoint: Endpoint | None
    ) -> None:
        if not _needs_credential(request, endpoint):
            return
        if endpoint is not None and endpoint.kind == "messages" and not self.admits_origin(request):
            raise Forbidden("Pages of this origin may not ask here.")
        headers = request.headers
        await self.identify(
            scope,
            headers.getall("authorization", []),
            headers.getall("x-api-key", []),
            self.session_of(request),
        )

    async def identify(
        self,
        scope: Scope,
        authorization: Sequence[str],
        api_key: Sequence[str],
        session: Sequence[str] = (),
    ) -> None:
        """Who asks, by the values of two headers and a cookie, or by what was accepted on the same
        socket.

        Raises:
            Unauthenticated: nobody who is known.
        """
        if scope.retained is not None:
            scope.retained, scope.principal = await self._authenticator.again(
                scope.retained, scope.deadline, within_s=0.0
            )
            return
        try:
            credential = credentials(authorization, api_key, session)
            if credential is None:
                raise Unauthenticated(reason="missing")
            scope.credential = credential
            scope.principal = await self._authenticator.authenticate(
                credential, scope.deadline, scope.client_ip
            )
        except Unauthenticated as refusal:
            if session and self._sessions is not None:
                self._sessions.drop(refusal)
            raise

    async def _authorize(self, request: Request, scope: Scope, endpoint: Endpoint | None) -> None:
        if endpoint is None and request.route is not None:
            raise Forbidden  # the start-up check lets no such route through; nobody decides on it
        if endpoint is None or endpoint.action is None:
            return
        scope.owner = _asked_owner(request, endpoint)
        scope.action = endpoint.action if scope.owner is None else for_any_owner(endpoint.action)
        scope.policy_question = _question(request, scope, endpoint)
        scope.decision = await self._policy.decide(scope.policy_question)
        _enforce(scope.decision)


def _close_after(request: Request) -> None:
    """``Connection: close`` on this answer: the client's next request comes on another one."""
    if isinstance(request.stream, Http):
        request.stream.keep_alive = False


def _body_bytes(request: Request, response: BaseHTTPResponse) -> int:
    """How much of the answer's body is sent: nothing of it to a HEAD."""
    if isinstance(request.stream, Http) and request.stream.head_only:
        return 0
    return len(response.body or b"")


def _needs_credential(request: Request, endpoint: Endpoint | None) -> bool:
    """Whether a route was matched that is not public (one that declares nothing is not)."""
    return request.route is not None and (endpoint is None or endpoint.needs_credential)


def _asked_owner(request: Request, endpoint: Endpoint) -> str | None:
    """``?owner=``: an admin acts for another user, on the routes that take it."""
    owners = [text for name, text in query_pairs(request) if name == "owner"]
    if not owners:
        return None
    if not endpoint.any_owner:
        raise ValidationFailed(fields={"?owner": "is not a known parameter"})
    if len(owners) > 1 or not is_name(owners[0]):
        raise ValidationFailed(fields={"?owner": "must be one user's name"})
    return owners[0]


def _resource_id(request: Request, endpoint: Endpoint) -> str | None:
    """The id in the path; raises ``NotFound`` for one that is not spelled as its kind is."""
    if endpoint.resource_id is None:
        return None
    resource_id: str = request.match_info[endpoint.resource_id]
    if not ID_SPELLINGS[endpoint.resource_id].accepts(resource_id):
        raise NotFound
    return resource_id


def _question(request: Request, scope: Scope, endpoint: Endpoint) -> PolicyQuestion:
    caller = scope.caller
    return PolicyQuestion(
        subject=caller.subject,
        tenant=caller.tenant,
        roles=caller.roles,
        scopes=caller.scopes,
        # To the policy a token is a token: whose it is, the subject's name tells.
        auth="api_key" if caller.auth == "api_key" else "jwt",
        action=scope.action or "",
        resource=Resource(
            type=endpoint.resource_type,
            id=_resource_id(request, endpoint),
            owner=scope.owner or caller.subject,
            tenant=caller.tenant,
        ),
        method=request.method,
        route=route_template(request),
        ip=scope.client_ip,
    )


def _enforce(decision: Decision) -> None:
    if decision.allow is True:
        return
    if decision.reason == POLICY_BROKEN:
        raise PolicyUnavailable
    raise Forbidden(details={"decision_id": decision.decision_id})


def route_template(request: Request) -> str:
    """``/…/documents/<document_id:str>``: bounded in number, unlike the URL."""
    return f"/{request.route.path}" if request.route else ""
