"""``gateway serve``: starts one supervisor, which forks the workers that serve one address.

All that a worker needs is imported and built here, before the first fork: pages that no process
writes to are in memory once for all workers (see ``docs/decisions/0010-workers.md``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from sanic import Sanic

from gateway import __version__, app
from gateway.edge.observe import log_output
from gateway.edge.observe.sentry import start_reporting
from gateway.edge.wire.connections import OTHER_FILES, raise_file_limit
from gateway.process import listeners, memory, worker
from gateway.process.children import Timing, Watcher, WorkerSlot
from gateway.process.supervisor import Supervisor
from gateway.settings import Settings, SettingsError
from gateway.telemetry.shared_metrics import SharedMetrics

log = structlog.get_logger("gateway.serving")

LoadSettings = Callable[[], Settings]
# Added to the configured time for a worker's stop: its accept queue is emptied, its log written.
STOP_MARGIN_S = 5.0


def serve(settings: Settings, load: LoadSettings, watchers: Sequence[Watcher] = ()) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit status.

    Args:
        load: reads the settings again at SIGHUP; raises ``SettingsError``.
        watchers: are notified, in the supervisor, of every worker that starts or dies.

    Raises:
        OSError: the address cannot be bound.
        UsersFileError: the users file is missing or wrong.
    """
    memory.leave_no_memory_in_core_dumps()
    log_output.serve_standard_error(settings.log_level, settings.log_format)
    memory.keep_small()
    bound = listeners.bind(settings.server_host, settings.server_port, settings.server_workers)
    _refuse_taken_grpc_port(settings)
    _warn_if_admin_address_is_taken(settings)
    _raise_open_files_limit(settings)
    gateway = _Gateway(settings, load)
    memory.settle()
    scheme = "http" if settings.tls_cert_file is None else "https"
    log.info(
        "serving",
        address=f"{scheme}://{listeners.shown(settings.server_host, settings.server_port)}",
        **({"grpc_port": settings.grpc_port} if settings.grpc_port else {}),
        workers=settings.server_workers,
        version=__version__,
    )
    return Supervisor(
        settings.server_workers,
        bound,
        gateway.work,
        reload=gateway.reload,
        follow=gateway.follow,
        watchers=[gateway.watch, *watchers],
        timing=Timing(stop_s=stop_limit_s(settings)),
    ).run()


def stop_limit_s(settings: Settings) -> float:
    """Seconds from the signal after which a worker that has not ended is killed."""
    return max(settings.drain_grace, settings.drain_limit) + settings.shutdown_grace + STOP_MARGIN_S


class _Gateway:
    """The application that workers are forked from, and the settings the next ones will have."""

    def __init__(self, settings: Settings, load: LoadSettings) -> None:
        app.import_for(settings)
        self._accounts = app.accounts_of(settings)
        self._create_app = partial(app.create_app, build=app.building_with(self._accounts))
        self._settings = settings
        self._load = load
        # Shared memory, made before the first fork and kept: it holds what dead workers counted.
        self._shared_metrics = SharedMetrics(settings.server_workers)
        self._app = self._create_app(settings, shared_metrics=self._shared_metrics)
        asyncio.run(worker.compile_routes(self._app.sanic))
        # The supervisor's own metrics: starts and ends of workers, lines that its log lost.
        self.watch = self._app.worker_metrics.watch()

    def follow(self) -> None:
        """In the supervisor, regularly: keeps the accounts of future workers up to date, and its
        own metrics."""
        self._accounts.follow()
        self.watch.log_lines_dropped(log_output.dropped_total())

    def reload(self) -> bool:
        """In the supervisor: loads the settings for workers that are forked from now on."""
        fresh = self._loaded()
        if fresh is None:
            return False
        if not self._accounts.adopt(fresh):
            # The users file is wrong. Each worker loads it too, logs every fault and keeps its
            # accounts, as this process does.
            return True
        self._settings = fresh
        app.prepare_reload(fresh)
        # Sanic registers applications by name and allows each name once.
        Sanic.unregister_app(self._app.sanic)
        self._app = self._create_app(fresh, shared_metrics=self._shared_metrics)
        asyncio.run(worker.compile_routes(self._app.sanic))
        return True

    def work(self, slot: WorkerSlot) -> int:
        """In a worker process: serves until it ends, then gives its exit status."""
        settings = self._settings
        start_reporting(settings.sentry_dsn, settings.sentry_environment, __version__)
        self._app.worker_metrics.worker = slot.number

        async def reload() -> None:
            fresh = self._loaded()
            if fresh is not None:
                await self._app.lifecycle.reload(fresh)

        return worker.run(self._app, slot, reload=reload)

    def _loaded(self) -> Settings | None:
        try:
            return self._load()
        except SettingsError as problem:
            for fault in problem.faults:
                log.error("reload: a fault in the settings", fault=str(fault))
            log.error("reload failed; the old settings stay", faults=len(problem.faults))
            return None


def _warn_if_admin_address_is_taken(settings: Settings) -> None:
    """A warning only: the workers of a supervisor that was killed may still drain there."""
    if not settings.admin_port:
        return
    try:
        listeners.check_free(settings.admin_host, settings.admin_port)
    except OSError as problem:
        log.warning(
            "the admin address is not free",
            address=listeners.shown(settings.admin_host, settings.admin_port),
            problem=problem.strerror,
            hint="metrics of two gateways would be mixed: change GATEWAY_ADMIN_LISTEN_PORT",
        )


def _refuse_taken_grpc_port(settings: Settings) -> None:
    """Each worker binds it by itself; here it is found out whether they can.

    Raises:
        OSError: they cannot.
    """
    if not settings.grpc_port:
        return
    try:
        listeners.check_free(settings.server_host, settings.grpc_port)
    except OSError as problem:
        reason = f"{problem.strerror} (GATEWAY_GRPC_PORT is {settings.grpc_port})"
        raise OSError(problem.errno, reason) from problem


def _raise_open_files_limit(settings: Settings) -> None:
    """Workers inherit this limit, and it must allow as many connections as the settings do."""
    ports = 2 if settings.grpc_port else 1
    needed = ports * settings.connections_limit + settings.core_connections + OTHER_FILES
    shortage = raise_file_limit(needed)
    if shortage is not None:
        log.warning(
            "too few open files allowed",
            problem=shortage,
            hint="raise `ulimit -n` or lower GATEWAY_CONNECTIONS_LIMIT",
        )
