"""Background tasks: the one place that makes them, names them and reports how they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from gateway.edge.observe.sentry import report

log = structlog.get_logger("gateway.tasks")


class Tasks:
    """Keeps a reference to each task until it ends: the loop alone holds only a weak one."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Runs ``work`` on its own; an exception is logged and reported under ``name``."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancels what is still running and waits until all of it has ended."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        log.error("background task failed", task=task.get_name(), exc_info=task.exception())
        report(task.exception() or RuntimeError(), request_id="")
