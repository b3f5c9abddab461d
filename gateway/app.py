"""The public application: blueprints, middleware, error renderer and lifecycle, put together.

The composition root. It is the one module of ``gateway`` that imports ``blueprints``; what a worker
runs on is built by ``wiring/services.py`` once the worker has an event loop.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sanic import Sanic
from sanic.config import Config

from blueprints import auth, mcp, ops, versions, well_known
from blueprints.api import API, with_browsers
from blueprints.pages import add_pages
from gateway import __version__
from gateway.edge.context import AppContext, FormLimits, set_context
from gateway.edge.http.console_view import ConsoleView
from gateway.edge.http.cors import Cors
from gateway.edge.http.endings import endings_of
from gateway.edge.http.endpoint import check_provided
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.http.limit_stages import LimitStages
from gateway.edge.http.mounting import Api, mount
from gateway.edge.http.pages import Pages
from gateway.edge.http.pipeline import Pipeline
from gateway.edge.http.protected_resource import ProtectedResource
from gateway.edge.http.render import ErrorRenderer
from gateway.edge.http.routes import counted
from gateway.edge.http.served_versions import ServedVersions
from gateway.edge.http.session_cookies import SessionCookies
from gateway.edge.lifecycle import Beside, Lifecycle
from gateway.edge.mcp.door import Agents
from gateway.edge.observe.edge_samples import TaskCount, of_edge
from gateway.edge.observe.limits_desk import LimitsDesk
from gateway.edge.openai.door import ChatDoor
from gateway.edge.tasks import Tasks
from gateway.edge.wire import guard
from gateway.edge.wire.body_limit import limit_bodies
from gateway.edge.wire.connections import Connections, Limits
from gateway.edge.wire.protocol import GuardedProtocol
from gateway.edge.wire.request import GatewayRequest
from gateway.edge.wire.server_tls import ServerTls
from gateway.edge.ws.door import Sockets
from gateway.flows.answer_stream import Query
from gateway.flows.documents import Documents
from gateway.flows.health import Health
from gateway.flows.keys import Keys
from gateway.flows.login import Login
from gateway.flows.logout import Logout
from gateway.flows.probe_stream import Probe
from gateway.flows.recheck import Recheck
from gateway.flows.repeats import Repeats
from gateway.flows.search import Search
from gateway.flows.uploads import Uploads
from gateway.flows.usage_report import UsageReport
from gateway.settings import Settings
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.layout import Layout
from gateway.telemetry.shared_metrics import SharedMetrics
from gateway.telemetry.worker_metrics import WorkerMetrics
from gateway.wiring import dependencies, services
from gateway.wiring.accounts import Accounts
from gateway.wiring.services import Services, build_services

BuildServices = Callable[[Settings, Tasks], Awaitable[Services]]


@dataclass(frozen=True, slots=True)
class Application:
    """What one worker process serves, with what that process needs at hand to serve it.

    ``tls`` is ``None`` where the gateway speaks plain HTTP.
    """

    sanic: Sanic[Any, Any]
    connections: Connections
    worker_metrics: WorkerMetrics
    lifecycle: Lifecycle
    tls: ServerTls | None

    @property
    def protocol(self) -> Callable[..., asyncio.Protocol]:
        """What a server of ``sanic`` must make its connections with; else it answers only 500.

        TLS is in it: the server itself is to listen without.
        """
        plain = partial(GuardedProtocol, of_worker=self.connections)
        return plain if self.tls is None else self.tls.around(plain)


def create_app(
    settings: Settings,
    *,
    build: BuildServices = build_services,
    name: str = "gateway",
    shared_metrics: SharedMetrics | None = None,
    api: Api = API,
) -> Application:
    """The application for one worker process. Nothing in it is bound to an event loop yet.

    Args:
        build: makes the services in the worker; tests pass fakes through it.
        name: Sanic keeps a registry of applications by name; tests need several.
        shared_metrics: the memory all workers count in; without it there is one worker.
        api: the versions and their routes; tests serve others.
    """
    api = with_browsers(api) if settings.signs_in_browsers else api
    sanic = _sanic(settings, name, api)
    pages = add_pages(sanic, ConsoleView.of(settings))
    worker_metrics = WorkerMetrics(_layout(sanic, settings), shared_metrics)
    connections = guard.install(
        sanic, _connection_limits(settings), settings.trusted_proxies, hsts_s=settings.hsts_s
    )
    tls = ServerTls.of(settings)
    assembly = _Assembly(sanic, api, pages, settings, build, connections, worker_metrics, tls)
    return Application(sanic, connections, worker_metrics, assembly.lifecycle, tls)


def import_for(settings: Settings) -> None:
    """Imports what these settings make the gateway use, and nothing else; starts nothing."""
    services.import_for(settings)
    if settings.grpc_port:
        # What it weighs is then shared by all workers.
        from blueprints import grpc_services  # noqa: F401
        from gateway.edge.grpc import listener  # noqa: F401


def prepare_reload(settings: Settings) -> None:
    """In the supervisor, before workers are told to reload: what they would each do by themselves.

    Never fails; each worker finds and logs what is wrong.
    """
    dependencies.before_reload(settings)


def accounts_of(settings: Settings) -> Accounts:
    """The accounts for workers not forked yet, kept in the process that forks them.

    Raises:
        UsersFileError: the users file is missing or wrong.
    """
    return Accounts(settings)


def building_with(accounts: Accounts) -> BuildServices:
    """How a worker builds its services: with ``accounts`` where its users file has become wrong,
    and with memory that it shares with all others, made here."""
    return partial(build_services, accounts=accounts, board=services.new_board())


def _sanic(settings: Settings, name: str, api: Api) -> Sanic[Any, Any]:
    app: Sanic[Any, Any] = Sanic(
        name,
        config=_sanic_config(settings),
        request_class=GatewayRequest,
        error_handler=ErrorRenderer(),
        strict_slashes=True,
        configure_logging=False,
        dumps=None,
    )
    _mount(app, api)
    limit_bodies(app, settings.body_limit)
    return app


def _sanic_config(settings: Settings) -> Config:
    config = Config(env_prefix=None)
    config.update(
        {
            "ACCESS_LOG": False,
            # Sanic would add all of sanic-ext by itself, which costs a third of the request rate,
            # with HEAD and OPTIONS routes that declare no action. ``pages`` adds its templates.
            "AUTO_EXTEND": False,
            "MOTD": False,
            # Streams have clocks of their own; this one only backs them up.
            "RESPONSE_TIMEOUT": int(settings.stream_total) + 60,
            "GRACEFUL_SHUTDOWN_TIMEOUT": settings.shutdown_grace,
            "FALLBACK_ERROR_FORMAT": "json",
        }
    )
    return config


def _connection_limits(settings: Settings) -> Limits:
    return Limits(
        connections=settings.connections_limit,
        per_address=settings.connections_per_address,
        body_bytes=settings.body_limit,
        head_s=settings.head_timeout,
        body_s=settings.body_timeout,
        idle_s=settings.keep_alive_timeout,
        stall_s=settings.stream_client_stall,
    )


def _cors(settings: Settings) -> Cors:
    origins = frozenset(settings.cors_origins)
    return Cors(origins, settings.cors_credentials, settings.cors_headers)


def _mount(app: Sanic[Any, Any], api: Api) -> None:
    mount(app, api)
    for group in (auth.root_blueprint, mcp.blueprint, ops.blueprint, versions.blueprint):
        app.blueprint(group)
    app.blueprint(well_known.blueprint)


def _layout(app: Sanic[Any, Any], settings: Settings) -> Layout:
    return layout_for(
        counted(app),
        _build_info(),
        dependencies=dependencies.names(settings),
        pools=dependencies.pool_names(),
    )


def _build_info() -> tuple[str, str]:
    return __version__, platform.python_version()


class _Assembly:
    """Joins what exists before a worker has its event loop to what is made on that loop.

    Routes and middleware are registered without a loop; the pipeline that the middleware calls is
    made from the services, in the worker, before its first request.
    """

    def __init__(
        self,
        app: Sanic[Any, Any],
        api: Api,
        pages: Pages,
        settings: Settings,
        build: BuildServices,
        connections: Connections,
        worker_metrics: WorkerMetrics,
        tls: ServerTls | None,
    ) -> None:
        self._app = app
        self._api = api
        self._pages = pages
        self._settings = settings
        self._connections = connections
        self._worker_metrics = worker_metrics
        self._streams = OpenStreams(
            metrics=worker_metrics.recorder, client_stall_s=settings.stream_client_stall
        )
        self._pipeline: Pipeline | None = None
        self._resource = ProtectedResource(settings.oidc_issuer, settings.public_url)
        self._desk: LimitsDesk | None = None
        self._session_cookies = SessionCookies.of(settings)
        self._beside: Beside | None = None
        admin_port = settings.admin_port
        self.lifecycle = Lifecycle(
            app,
            build=lambda tasks: build(settings, tasks),
            attach=self._attach,
            connections=connections,
            streams=self._streams,
            worker_metrics=worker_metrics,
            tls=tls,
            desk=lambda: self._desk,
            beside=lambda: self._beside,
            admin_address=(settings.admin_host, admin_port) if admin_port else None,
            grace_s=settings.drain_grace,
            drain_limit_s=settings.drain_limit,
            let_go_s=settings.shutdown_grace,
        )
        app.register_middleware(self._on_request, "request")
        app.register_middleware(self._on_response, "response")

    def _attach(self, services: Any) -> None:
        self._pipeline = self._make_pipeline(services)
        sockets = self._make_sockets(services, self._pipeline)
        self._begin_metrics(services, sockets)
        self._set_context(services, self._pipeline, sockets, self._make_chat(services))
        self._desk = LimitsDesk(services.limits, services.usage, services.login, services.clock)
        if self._settings.grpc_port:
            self._beside = self._make_grpc(services, self._pipeline)

    def _make_pipeline(self, services: Services) -> Pipeline:
        settings = self._settings
        return Pipeline(
            authenticator=services.authenticator,
            policy=services.policy,
            clock=services.clock,
            cors=_cors(settings),
            drain=self.lifecycle,
            io_deadline_s=settings.io_deadline,
            compress_min_bytes=settings.compress_min_size,
            trusted_proxies=settings.trusted_proxies,
            tracer=services.tracer,
            hsts_s=settings.hsts_s,
            limits=(
                None if services.limits is None else LimitStages(services.limits, services.usage)
            ),
            endings=endings_of(
                self._app,
                services.clock,
                public_url=settings.public_url or "",
                serves_ended=settings.serve_ended_versions,
            ),
            resource=self._resource,
            sessions=self._session_cookies,
        )

    def _make_sockets(self, services: Services, pipeline: Pipeline) -> Sockets:
        """A socket's pings and its client's patience have the clocks of a stream."""
        ping_s, pong_s = self._settings.stream_ping, self._settings.stream_client_stall
        return Sockets(pipeline, self._connections, services.clock, ping_s=ping_s, pong_s=pong_s)

    def _make_chat(self, services: Services) -> ChatDoor:
        settings = self._settings
        return ChatDoor(
            services.clock,
            public_url=settings.public_url or "",
            footnotes=settings.openai_footnotes,
            limit_bytes=settings.answer_limit,
        )

    def _make_grpc(self, services: Services, pipeline: Pipeline) -> Beside:
        # Nothing of it is imported where it is off.
        from blueprints import grpc_services
        from gateway.edge.grpc.door import GrpcCalls
        from gateway.edge.grpc.listener import GrpcListener

        settings = self._settings
        calls = GrpcCalls(self._app, pipeline, self._connections)
        handlers = grpc_services.handlers(self._app, calls, settings.stream_client_stall)
        return GrpcListener(settings, calls, handlers, lambda: services.health.ready)

    def _begin_metrics(self, services: Services, sockets: Sockets) -> None:
        edge = partial(of_edge, self._streams, self._connections, services.health)
        self._worker_metrics.begin([edge, sockets.samples, TaskCount(), *services.sample_sources])

    def _set_context(
        self, services: Services, pipeline: Pipeline, sockets: Sockets, chat: ChatDoor
    ) -> None:
        settings = self._settings
        context = AppContext(
            form_limits=FormLimits(settings.form_limit, settings.form_parts),
            answer_limit_bytes=settings.answer_limit,
            metrics=self._worker_metrics.recorder,
            provided={
                **_provided(services, self._session_cookies),
                OpenStreams: self._streams,
                Sockets: sockets,
                ChatDoor: chat,
                Agents: Agents(pipeline, services.recheck.retain, self._api.newest),
                ServedVersions: ServedVersions(self._api, self._app, services.clock),
                ProtectedResource: self._resource,
                Pages: self._pages,
            },
            ask_again=pipeline.ask_again,
        )
        check_provided(self._app, context.provided)
        set_context(self._app, context)

    async def _on_request(self, request: Any) -> Any:
        assert self._pipeline is not None
        guard.refuse_unguarded(request)
        return await self._pipeline.on_request(request)

    async def _on_response(self, request: Any, response: Any) -> None:
        assert self._pipeline is not None
        await self._pipeline.on_response(request, response)


def _provided(services: Services, cookies: SessionCookies | None) -> dict[type, object]:
    """What handlers can have by naming its type, of what is made from the settings."""
    return {
        Login: services.login,
        Logout: services.logout,
        Keys: services.keys,
        Uploads: services.uploads,
        Documents: services.documents,
        Query: services.query,
        Search: services.search,
        Probe: services.probe,
        UsageReport: services.usage_report,
        Recheck: services.recheck,
        Repeats: services.repeats,
        Health: services.health,
        **({} if services.sign_in is None else {type(services.sign_in): services.sign_in}),
        **({} if cookies is None else {SessionCookies: cookies}),
    }
