"""``gateway serve``: Sanic's worker processes on one address."""

from __future__ import annotations

from functools import partial
from typing import Any

import structlog
from sanic import Sanic
from sanic.worker.loader import AppLoader

from gateway import __version__
from gateway.edge import logs
from gateway.edge.connections import OTHER_FILES, raise_file_limit
from gateway.edge.guard import GuardedProtocol
from gateway.edge.report import start_reporting
from gateway.settings import Settings

log = structlog.get_logger("gateway.serving")

# Connections the kernel holds while workers are busy: 100, Sanic's own, stalls a connect storm.
BACKLOG = 4096


def make_app(settings: Settings) -> Sanic[Any, Any]:
    """Runs in the main process and again in each worker (they are spawned, not forked)."""
    from gateway.app import create_app  # the composition root imports edge, so not at the top

    logs.configure(settings.log_level, settings.log_format)
    start_reporting(settings.sentry_dsn, settings.sentry_environment, __version__)
    return create_app(settings)


def serve(settings: Settings) -> None:
    """Serves until told to stop (SIGTERM, SIGINT).

    Raises:
        OSError: the address cannot be bound.
    """
    loader = AppLoader(factory=partial(make_app, settings))
    app = loader.load()
    _make_room_for_files(settings)
    app.prepare(
        host=settings.server_host,
        port=settings.server_port,
        workers=settings.server_workers,
        protocol=GuardedProtocol,
        backlog=BACKLOG,
        access_log=False,
        motd=False,
        debug=False,
        auto_reload=False,
    )
    log.info(
        "serving",
        address=f"http://{settings.server_host}:{settings.server_port}",
        workers=settings.server_workers,
        version=__version__,
    )
    Sanic.serve(primary=app, app_loader=loader)


def _make_room_for_files(settings: Settings) -> None:
    """Workers inherit this process's limit; a cap above it would never be reached."""
    needed = settings.connections_limit + settings.core_connections + OTHER_FILES
    shortage = raise_file_limit(needed)
    if shortage is not None:
        log.warning(
            "too few open files allowed",
            problem=shortage,
            mend="raise `ulimit -n` or lower GATEWAY_CONNECTIONS_LIMIT",
        )
