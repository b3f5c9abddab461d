"""``gateway check`` and ``gateway serve`` for many environments in one process.

``serve`` runs as it is up to where it would fork its workers; in their place one worker's services
are built and closed, which is all that a worker needs before it is ready. In: a JSON list of
environments. Out: a line of JSON for each, with status and text of both commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
from typing import Any

from sanic import Sanic

from gateway.commands import cli
from gateway.edge.observe.sentry import start_reporting
from gateway.edge.tasks import Tasks
from gateway.process import serving
from gateway.settings import Settings
from gateway.wiring.services import build_services


class NoSupervisor:
    """Forks nobody."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def run(self) -> int:
        return 0


async def build_a_worker(settings: Settings) -> None:
    start_reporting(settings.sentry_dsn, settings.sentry_environment, "test")
    tasks = Tasks()
    services = await build_services(settings, tasks)
    await tasks.stop()
    await services.aclose()


def run(command: str, environ: dict[str, str]) -> dict[str, Any]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = cli.main([command], environ)
            if command == "serve" and status == 0:
                asyncio.run(build_a_worker(Settings.load(environ)))
        except Exception as problem:
            status = f"{type(problem).__name__}: {problem}"
    with contextlib.suppress(Exception):
        Sanic.unregister_app(Sanic.get_app("gateway"))
    return {"status": status, "said": out.getvalue() + err.getvalue()}


def main() -> None:
    # Imported names of the module are what ``serve`` uses.
    serving.Supervisor = NoSupervisor  # type: ignore[assignment,misc]
    for environ in json.load(sys.stdin):
        both = {command: run(command, environ) for command in ("check", "serve")}
        print(json.dumps(both), flush=True)


if __name__ == "__main__":
    main()
