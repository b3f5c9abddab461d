"""The public application: blueprints, middleware, error renderer and lifecycle, put together.

The composition root. It is the one module of ``gateway`` that imports ``blueprints``; what a worker
runs on is built by ``services.py`` once the worker has an event loop.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from sanic import Blueprint, Sanic
from sanic.config import Config

from blueprints import auth, docs, documents, keys, ops, query
from gateway import __version__
from gateway.edge.http.bodies import FormLimits
from gateway.edge.http.cors import Cors
from gateway.edge.http.endpoint import provide
from gateway.edge.http.event_streams import OpenStreams
from gateway.edge.http.pipeline import Pipeline
from gateway.edge.http.render import ErrorRenderer
from gateway.edge.lifecycle import Lifecycle
from gateway.edge.observe.edge_readings import of_edge
from gateway.edge.tasks import Tasks
from gateway.edge.wire import protocol, server_tls
from gateway.edge.wire.body_limit import limit_bodies
from gateway.edge.wire.connections import Limits
from gateway.edge.wire.request import GatewayRequest
from gateway.flows.answer_stream import Query
from gateway.flows.documents import Documents
from gateway.flows.health import Health
from gateway.flows.keys import Keys
from gateway.flows.login import Login
from gateway.flows.recheck import Recheck
from gateway.flows.uploads import Uploads
from gateway.settings import Settings
from gateway.telemetry.book import NoMetrics
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.figures import Figures
from gateway.telemetry.sheet import Sheet
from gateway.wiring import services
from gateway.wiring.accounts import Accounts
from gateway.wiring.services import Services, build_services

API_PREFIX = "/api/v1"

BuildServices = Callable[[Settings, Tasks], Awaitable[Services]]


def create_app(
    settings: Settings,
    *,
    build: BuildServices = build_services,
    name: str = "gateway",
    sheet: Sheet | None = None,
) -> Sanic[Any, Any]:
    """The application for one worker process. Nothing in it is bound to an event loop yet.

    Args:
        build: makes the services in the worker; tests pass fakes through it.
        name: Sanic keeps a registry of applications by name; tests need several.
        sheet: where the workers' figures stand, shared by all; without it there is one worker.
    """
    app: Sanic[Any, Any] = Sanic(
        name,
        config=_sanic_config(settings),
        request_class=GatewayRequest,
        error_handler=ErrorRenderer(),
        strict_slashes=True,
        configure_logging=False,
        dumps=None,
    )
    streams = OpenStreams(client_stall_s=settings.stream_client_stall)
    app.ctx.form_limits = FormLimits(settings.form_limit, settings.form_parts)
    app.ctx.answer_limit_bytes = settings.answer_limit
    _mount(app)
    limit_bodies(app, settings.body_limit)
    protocol.install(
        app, _connection_limits(settings), settings.trusted_proxies, hsts_s=settings.hsts_s
    )
    server_tls.install(app, server_tls.ServerTls.of(settings))
    app.ctx.metrics = NoMetrics()
    app.ctx.figures = Figures(layout_for(_routes(app), _build_info()), sheet)
    _Wiring(app, settings, streams, build)
    return app


def import_for(settings: Settings) -> None:
    """Imports what these settings make the gateway use, and nothing else; starts nothing."""
    services.import_for(settings)


def accounts_of(settings: Settings) -> Accounts:
    """Those of the workers to come, in the process that starts them. Raises ``UsersFileError``."""
    return Accounts(settings)


def building_with(accounts: Accounts) -> BuildServices:
    """How a worker builds what it runs on, with ``accounts`` to stay with."""
    return partial(build_services, accounts=accounts)


def _sanic_config(settings: Settings) -> Config:
    config = Config(env_prefix=None)
    config.update(
        {
            "ACCESS_LOG": False,
            # Where sanic-ext happens to be installed, it stays out: merely being there it costs a
            # third of the request rate, and its HEAD and OPTIONS routes go round the guard.
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
        head_s=settings.head_timeout,
        body_s=settings.body_timeout,
        idle_s=settings.keep_alive_timeout,
        stall_s=settings.stream_client_stall,
    )


def _mount(app: Sanic[Any, Any]) -> None:
    api = Blueprint.group(
        auth.blueprint, keys.blueprint, documents.blueprint, query.blueprint, url_prefix=API_PREFIX
    )
    for blueprint in (api, auth.root_blueprint, ops.blueprint, docs.blueprint):
        app.blueprint(blueprint)


def _routes(app: Sanic[Any, Any]) -> Iterator[tuple[str, str]]:
    for route in app.router.routes:
        yield from ((method, f"/{route.path}") for method in route.methods)


def _build_info() -> tuple[str, str]:
    return __version__, platform.python_version()


class _Wiring:
    """Connects what is made before the loop (routes, middleware) to what is made inside it."""

    def __init__(
        self,
        app: Sanic[Any, Any],
        settings: Settings,
        streams: OpenStreams,
        build: BuildServices,
    ) -> None:
        self._app = app
        self._settings = settings
        self.streams = streams
        admin_port = settings.admin_port
        self._lifecycle = Lifecycle(
            app,
            build=lambda tasks: build(settings, tasks),
            attach=self._attach,
            streams=streams,
            figures=app.ctx.figures,
            admin_address=(settings.admin_host, admin_port) if admin_port else None,
            grace_s=settings.drain_grace,
            drain_limit_s=settings.drain_limit,
            let_go_s=settings.shutdown_grace,
        )
        app.ctx.lifecycle = self._lifecycle
        self._pipeline: Pipeline | None = None
        app.register_middleware(self._on_request, "request")
        app.register_middleware(self._on_response, "response")

    def _attach(self, services: Any) -> None:
        self._begin_figures(services)
        provide(self._app, _provided(services, self.streams))
        settings = self._settings
        self._pipeline = Pipeline(
            authenticator=services.authenticator,
            policy=services.policy,
            clock=services.clock,
            cors=Cors(frozenset(settings.cors_origins), settings.cors_credentials),
            drain=self._lifecycle,
            io_deadline_s=settings.io_deadline,
            compress_min_bytes=settings.compress_min_size,
            trusted_proxies=settings.trusted_proxies,
            tracer=services.tracer,
            hsts_s=settings.hsts_s,
        )

    def _begin_figures(self, services: Services) -> None:
        context, streams = self._app.ctx, self.streams
        edge = partial(of_edge, streams, context.connections, services.health)
        context.figures.begin([edge, *services.readings])
        context.metrics = streams.metrics = context.figures.book

    async def _on_request(self, request: Any) -> Any:
        assert self._pipeline is not None
        protocol.refuse_unguarded(request)
        return await self._pipeline.on_request(request)

    async def _on_response(self, request: Any, response: Any) -> None:
        assert self._pipeline is not None
        await self._pipeline.on_response(request, response)


def _provided(services: Services, streams: OpenStreams) -> dict[type, object]:
    """What handlers may ask for."""
    return {
        Login: services.login,
        Keys: services.keys,
        Uploads: services.uploads,
        Documents: services.documents,
        Query: services.query,
        Recheck: services.recheck,
        Health: services.health,
        OpenStreams: streams,
    }
