"""Start and stop of one process: its ready line, its signals, its end within five seconds."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from devstack.core import VERSION
from devstack.core.settings import Component

logger = logging.getLogger(__name__)

# A thread that builds an index cannot be stopped half-way. The process may end all the same: index
# generations and SQLite stay consistent.
STOP_LIMIT_S = 4.5


def announce_ready(
    component: Component, port: int | None = None, grpc_port: int | None = None
) -> None:
    """Print the line on stdout that reports that this process is ready for work."""
    ready: dict[str, object] = {"ready": True, "component": component}
    if port is not None:
        ready["port"] = port
    if grpc_port is not None:
        ready["grpc_port"] = grpc_port
    print(json.dumps({**ready, "version": VERSION}), flush=True)


def stop_event(*, exit_with_stdin: bool) -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets, and the end of stdin if asked for."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin(why: str) -> None:
        if not stop.is_set():
            logger.info("stopping: %s", why)
            _limit_stop()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin, number.name)
    if exit_with_stdin:
        watch = threading.Thread(target=_watch_stdin, args=(loop, begin), daemon=True)
        watch.start()
    return stop


def _watch_stdin(loop: asyncio.AbstractEventLoop, begin: Callable[[str], None]) -> None:
    # os.read holds no lock of the interpreter's own stdin, which would hang its shutdown.
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        logger.info("stdin cannot be read")
    try:
        loop.call_soon_threadsafe(begin, "stdin ended")
    except RuntimeError:
        return  # the loop has ended before


def _limit_stop() -> None:
    def leave() -> None:
        print("not stopped in time, leaving", file=sys.stderr, flush=True)
        os._exit(1)

    timer = threading.Timer(STOP_LIMIT_S, leave)
    timer.daemon = True
    timer.start()
