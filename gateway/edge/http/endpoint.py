"""One route, declared once: its action, its body, its answers. Checks and OpenAPI both read this.

A blueprint declares its routes with ``@route(bp, "POST", "/documents", …)``; one that declares
``GET`` answers ``HEAD`` too, and sends the same head (RFC 9110, 9.1 and 9.3.2). The handler is
called as ``handler(request, **path, **provided)``; when ``body`` or ``query`` are named, it also
gets them, read and checked, under these names. It returns an ``HTTPResponse``, or ``None`` when it
has streamed its answer itself.

A body is read here, once the head has decided all it can: who asks, whether he may, whether the
query string and the content type are right. Until then it is not even waited for.

``provided`` is what a handler asks for by type (``documents: Documents``): flows, which exist only
once a worker has an event loop, while routes are declared before.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, Literal, NamedTuple, cast, get_type_hints

import msgspec
from sanic import Blueprint, Request, Sanic
from sanic.response import HTTPResponse

from gateway.domain.doors import Door
from gateway.domain.versions import ROOT, VERSIONS, Ending, Version
from gateway.edge.context import context_of
from gateway.edge.http import bodies
from gateway.edge.http.repeats import Repeat, answer_once
from gateway.errors import GatewayError

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse | None]]

# Whose sign-in is taken, for whoever has none yet (RFC 9728).
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
# Pages for people, and what leads to them.
CONSOLE: Final = "/console"
# The only routes without a policy question, with true CORS preflights (contract, section 4): those
# at the root, and in each version those with these paths below it.
_PUBLIC_AT_ROOT = frozenset(
    {
        ("POST", "/auth/login"),
        *(
            (method, path)
            for method in ("GET", "HEAD")
            for path in (
                *("/healthz", "/readyz", "/openapi.json", ROOT),
                *("/docs", "/docs/assets/<asset:path>"),
                *(WELL_KNOWN, f"{WELL_KNOWN}/mcp"),
            )
        ),
    }
)
_PUBLIC_IN_A_VERSION = frozenset(
    {
        ("POST", "/auth/login"),
        *(
            (method, path)
            for method in ("GET", "HEAD")
            # Of a socket's upgrade: its credential may come in the first message, and each of its
            # questions is one to the policy.
            for path in ("/openapi.json", "/query/ws")
        ),
    }
)


# The console's page and its files, and the root, which leads there.
CONSOLE_ROUTES = frozenset(
    (method, path)
    for method in ("GET", "HEAD")
    for path in ("/", CONSOLE, f"{CONSOLE}/assets/<asset:path>")
)


def public_in(versions: Iterable[Version]) -> frozenset[tuple[str, str]]:
    """Method and path of each public route where these versions are served."""
    below = (
        (method, version.prefix + path)
        for version in versions
        for method, path in _PUBLIC_IN_A_VERSION
    )
    return _PUBLIC_AT_ROOT.union(below)


def public_where_on(versions: Iterable[Version]) -> frozenset[tuple[str, str]]:
    """Public as well, where the settings switch them on; elsewhere there are no such routes."""
    sign_in = frozenset(
        (method, f"{version.prefix}/auth/oidc/{name}")
        for version in versions
        for method in ("GET", "HEAD")
        for name in ("start", "callback")
    )
    return sign_in | CONSOLE_ROUTES


PUBLIC = public_in(VERSIONS)

# Only signed in, and then each message says which action it is: the policy is asked about that.
BY_MESSAGE: frozenset[tuple[str, str]] = frozenset({("POST", "/mcp")})


@dataclass(frozen=True, slots=True)
class Success:
    """A good answer: its status, what its body is and what it means.

    ``body`` is a type msgspec can describe, or ``None`` for an answer without a body. ``location``
    tells that it leads elsewhere, by a header of that name.
    """

    status: int
    description: str
    body: Any = None
    content_type: str = "application/json"
    location: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a route does. ``action`` is ``None`` on public routes, and where messages name it.

    ``any_owner`` routes take ``?owner=`` and then ask for ``<action>:any-owner``. ``resource_id``
    is the path's parameter that names what the action is done to; its spelling is checked and it
    goes into the policy's question. ``narrowed`` says what the settings allow of the body's fields,
    field by field, for the OpenAPI document; it is asked with what handlers are provided with.
    ``body_limit_bytes`` is below the limit of all bodies where anybody may send one.
    ``public_action`` is what limits call a public route that they count. ``door`` is the protocol
    that its clients speak, as the log and the metrics name it. The scope begins with it; whoever
    knows better (a handler that has read the body, a socket that makes requests) changes it there.
    A route whose ``kind`` is ``messages`` reads its body itself, and ``body`` only describes that;
    pages of listed origins alone may call it.
    ``validated`` routes have an ``ETag`` and answer 304 to who has it (``validators``). ``repeat``
    says how a route that creates answers a request that is sent again with its
    ``Idempotency-Key``; others take none.
    What is not ``described`` is for people: it is in no document of the API, nothing of it is
    promised to clients, and what a link's maker added to its query is not looked at.
    Below the root of a version a route stands in each version from number ``since`` to number
    ``until``, both included. ``ending`` is declared where it ends before its version does. Where it
    is mounted, ``version`` is the one that it stands in, and ``ending`` that which holds for it.
    """

    method: str
    name: str
    summary: str
    action: str | None
    successes: tuple[Success, ...]
    errors: tuple[type[GatewayError], ...] = ()
    body: type[msgspec.Struct] | None = None
    body_required: bool = True
    body_limit_bytes: int | None = None
    narrowed: Callable[[Mapping[type, Any]], Mapping[str, dict[str, Any]]] | None = None
    accepts_form: bool = False
    query: type[msgspec.Struct] | None = None
    public_action: str | None = None
    any_owner: bool = False
    resource_id: str | None = None
    validated: bool = False
    repeat: Repeat | None = None
    tag: str = ""
    kind: Literal["plain", "stream", "socket", "messages"] = "plain"
    door: Door = "http"
    since: int = 1
    until: int | None = None
    ending: Ending | None = None
    version: Version | None = None
    described: bool = True

    @property
    def methods(self) -> frozenset[str]:
        """What the route answers: ``method``, and ``HEAD`` wherever that is ``GET``."""
        return frozenset({"GET", "HEAD"} if self.method == "GET" else {self.method})

    @property
    def needs_credential(self) -> bool:
        """Whether somebody has to be known before it is answered."""
        return self.action is not None or self.kind == "messages"

    @property
    def counted_as(self) -> str | None:
        """What limits call it; ``None`` where they count nothing."""
        return self.action or self.public_action

    @property
    def resource_type(self) -> str:
        return (self.action or "").split(":", 1)[0]


class Declared(NamedTuple):
    """A route as its blueprint has it: ``path`` below the blueprint's own."""

    path: str
    endpoint: Endpoint
    handler: Handler


def endpoint_of(request: Request) -> Endpoint | None:
    """What the matched route declares; ``None`` where no route matched, or it declares nothing."""
    route = request.route
    return cast(Endpoint | None, getattr(route.ctx, "endpoint", None)) if route else None


def version_of(request: Request) -> Version:
    """The version that the request's route stands in."""
    endpoint = endpoint_of(request)
    if endpoint is None or endpoint.version is None:
        raise RuntimeError("the route stands in no version of the API")
    return endpoint.version


def route(
    blueprint: Blueprint, method: str, path: str, *, action: str | None, name: str, **fields: Any
) -> Callable[[Handler], Handler]:
    """Adds the decorated handler to ``blueprint``; ``fields`` are those of ``Endpoint``.

    A blueprint is registered as it is, at the root, or mounted in versions (``mounting.mount``).
    """
    endpoint = Endpoint(method=method, name=name, action=action, tag=blueprint.name or "", **fields)

    def add(handler: Handler) -> Handler:
        declared = Declared(path, endpoint, handler)
        declared_on(blueprint).append(declared)
        register(blueprint, declared)
        return handler

    return add


def declared_on(blueprint: Blueprint) -> list[Declared]:
    """The routes that were added to ``blueprint``, in their order."""
    if not hasattr(blueprint.ctx, "declared"):
        blueprint.ctx.declared = []
    return cast(list[Declared], blueprint.ctx.declared)


def register(blueprint: Blueprint, declared: Declared) -> None:
    """Tells Sanic of a route; what it declares is found by ``endpoint_of``."""
    path, endpoint, handler = declared
    # Sanic would read the body before its middleware, so before anybody is asked who sends it.
    add = blueprint.route(
        path,
        methods=endpoint.methods,
        name=endpoint.name,
        ignore_body=True,
        ctx_endpoint=endpoint,
    )
    reading = _reading(handler, endpoint)
    if endpoint.kind == "socket":
        # Sanic takes any other handler that returns without an answer for a faulty one.
        reading.is_websocket = True  # type: ignore[attr-defined]
    add(reading)


def check_provided(app: Sanic[Any, Any], provided: Mapping[type, object]) -> None:
    """Checks at start-up that every handler of ``app`` will get what it asks for.

    Raises:
        LookupError: a handler names a type that is not provided, which its first request would
            find out.
    """
    for declared in app.router.routes:
        for kind in getattr(declared.handler, "wanted", {}).values():
            if kind not in provided:
                raise LookupError(
                    f"{declared.name} asks for {kind.__name__}, which nobody provides"
                )


def _reading(handler: Handler, endpoint: Endpoint) -> Handler:
    """``handler`` behind the reading of its body and query and the look-up of what it asks for."""
    wanted = _wanted(handler, endpoint)
    wanted_items = tuple(wanted.items())
    repeat = endpoint.repeat

    @wraps(handler)
    async def read_then_handle(request: Request, **arguments: Any) -> HTTPResponse | None:
        context = context_of(request.app)
        provided = context.provided
        for name, kind in wanted_items:
            arguments[name] = provided[kind]
        if endpoint.query is not None:
            arguments["query"] = bodies.read_query(request, endpoint.query, endpoint.any_owner)
        elif request.query_string and endpoint.described:
            bodies.refuse_query(request, endpoint.any_owner)
        if endpoint.kind == "messages":
            return await handler(request, **arguments)
        if endpoint.body is not None:
            arguments["body"] = await bodies.read_body(
                request,
                endpoint.body,
                required=endpoint.body_required,
                limit_bytes=endpoint.body_limit_bytes,
                form=context.form_limits if endpoint.accepts_form else None,
            )
        else:
            await bodies.drop_body(request)
        if repeat is not None:
            return await answer_once(request, repeat, handler, arguments)
        handling = handler(request, **arguments)
        # A stream may take minutes: what it was asked is not kept that long.
        del arguments
        return await handling

    read_then_handle.wanted = wanted  # type: ignore[attr-defined]
    return read_then_handle


def _wanted(handler: Handler, endpoint: Endpoint) -> dict[str, type]:
    """The parameters that neither the path, nor the body, nor the query string fills."""
    read = {"return"} | ({"body"} if endpoint.body and endpoint.kind != "messages" else set())
    read |= {"query"} if endpoint.query else set()
    read |= {"attempt"} if endpoint.repeat is not None and endpoint.repeat.answers_itself else set()
    hints = get_type_hints(handler)
    return {
        name: kind
        for name, kind in hints.items()
        if name not in read and kind not in (Request, str)
    }
