"""``gateway serve``: one supervisor, its workers, one address.

All that a worker needs is imported and built here, before the first fork: what no process writes to
is in memory once for all of them (see ``docs/decisions/0010-workers.md``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from sanic import Sanic

from gateway import __version__, app
from gateway.edge.lifecycle import Lifecycle
from gateway.edge.observe import log_output
from gateway.edge.observe.sentry import start_reporting
from gateway.edge.wire.connections import OTHER_FILES, raise_file_limit
from gateway.process import listeners, memory, worker
from gateway.process.children import Timing, Watcher, WorkerSlot
from gateway.process.supervisor import Supervisor
from gateway.settings import Settings, SettingsError
from gateway.telemetry.figures import Figures
from gateway.telemetry.sheet import Sheet

log = structlog.get_logger("gateway.serving")

LoadSettings = Callable[[], Settings]
# What a worker may take to stop beyond its settings: its queue emptied, its last words said.
STOP_MARGIN_S = 5.0


def serve(settings: Settings, load: LoadSettings, watchers: Sequence[Watcher] = ()) -> int:
    """Serves until told to stop (SIGTERM, SIGINT); gives the exit status.

    Args:
        load: reads the settings again, at SIGHUP; raises ``SettingsError``.
        watchers: hear of every worker that starts or dies, in the supervisor.

    Raises:
        OSError: the address cannot be bound.
        UsersFileError: the users file is missing or wrong.
    """
    memory.leave_no_memory_in_core_dumps()
    log_output.configure(settings.log_level, settings.log_format)
    memory.keep_small()
    bound = listeners.bind(settings.server_host, settings.server_port, settings.server_workers)
    _look_at_admin_address(settings)
    _make_room_for_files(settings)
    gateway = _Gateway(settings, load)
    memory.settle()
    scheme = "http" if settings.tls_cert_file is None else "https"
    log.info(
        "serving",
        address=f"{scheme}://{settings.server_host}:{settings.server_port}",
        workers=settings.server_workers,
        version=__version__,
    )
    return Supervisor(
        settings.server_workers,
        bound,
        gateway.work,
        reload=gateway.reload,
        follow=gateway.follow,
        watchers=[gateway.watch(), *watchers],
        timing=Timing(stop_s=stop_limit_s(settings)),
    ).run()


def stop_limit_s(settings: Settings) -> float:
    """How long a worker may take from the signal to its end, in seconds; then it is killed."""
    return max(settings.drain_grace, settings.drain_limit) + settings.shutdown_grace + STOP_MARGIN_S


class _Gateway:
    """The application as the supervisor made it, and the settings of the workers to come."""

    def __init__(self, settings: Settings, load: LoadSettings) -> None:
        app.import_for(settings)
        self._accounts = app.accounts_of(settings)
        self._create_app = partial(app.create_app, build=app.building_with(self._accounts))
        self._settings = settings
        self._load = load
        # Made before the first fork, and kept for good: what dead workers counted is in it.
        self._sheet = Sheet(settings.server_workers)
        self._app = self._create_app(settings, sheet=self._sheet)
        asyncio.run(worker.compile_routes(self._app))

    def watch(self) -> Watcher:
        """Counts in the supervisor how workers come and go."""
        figures: Figures = self._app.ctx.figures
        return figures.watch()

    def follow(self) -> None:
        """In the supervisor, again and again: the accounts of workers to come."""
        self._accounts.follow()

    def reload(self) -> bool:
        """In the supervisor: settings for workers that are forked from now on."""
        fresh = self._loaded()
        if fresh is None:
            return False
        if not self._accounts.adopt(fresh):
            # The workers look at the policy too, name every fault and keep the old, as we do.
            return True
        self._settings = fresh
        # Sanic keeps applications by name and wants each name once.
        Sanic.unregister_app(self._app)
        self._app = self._create_app(fresh, sheet=self._sheet)
        asyncio.run(worker.compile_routes(self._app))
        return True

    def work(self, slot: WorkerSlot) -> int:
        """In a worker: never returns to the supervisor's code."""
        settings = self._settings
        start_reporting(settings.sentry_dsn, settings.sentry_environment, __version__)
        lifecycle: Lifecycle = self._app.ctx.lifecycle
        self._app.ctx.figures.worker = slot.number

        async def reload() -> None:
            fresh = self._loaded()
            if fresh is not None:
                await lifecycle.reload(fresh)

        return worker.run(self._app, lifecycle, slot, reload=reload, tls=self._app.ctx.tls)

    def _loaded(self) -> Settings | None:
        try:
            return self._load()
        except SettingsError as problem:
            for fault in problem.faults:
                log.error("reload: a fault in the settings", fault=str(fault))
            log.error("reload failed; the old settings stay", faults=len(problem.faults))
            return None


def _look_at_admin_address(settings: Settings) -> None:
    """Not refused, as the public one is: workers of a killed supervisor may still drain there."""
    if not settings.admin_port:
        return
    try:
        listeners.check_free(settings.admin_host, settings.admin_port)
    except OSError as problem:
        log.warning(
            "the admin address is not free",
            address=f"{settings.admin_host}:{settings.admin_port}",
            problem=problem.strerror,
            hint="figures of two gateways would be mixed: change GATEWAY_ADMIN_LISTEN_PORT",
        )


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
