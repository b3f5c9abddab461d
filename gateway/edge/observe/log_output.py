"""Logging: one JSON object a line, or something to read when stderr is a terminal.

A request's line is the one that comes thousands of times a second, so ``info`` says it in JSON
without structlog and the standard library in between, which cost ten times as much, and writes all
that one round of the event loop brings in one go. It looks as if structlog had written it.

Here is how lines are written. The fields of a request's line stand in ``access_log.py``.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

import msgspec
import structlog

from gateway.telemetry.tracing import TRACEPARENT, trace_id


def _add_trace(
    _logger: Any, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """The trace of the request this line belongs to, where there is one."""
    traceparent = TRACEPARENT.get()
    if traceparent is not None:
        event.setdefault("trace_id", trace_id(traceparent))
    return event


_SHARED: tuple[Any, ...] = (
    _add_trace,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
# What our own modules say through the standard library's `extra`; a library's extras stay out.
_EXTRAS = ("status", "media_type", "coding", "request_id")
# What the kernel takes in one piece on a pipe (pipe(7), PIPE_BUF): workers share one, and a line
# must not end up in the middle of another's.
WHOLE_BYTES = 4096


class _Lines:
    """Lines that wait for the end of the loop's present round."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self._flushed_by: asyncio.AbstractEventLoop | None = None

    def add(self, line: str) -> None:
        self._waiting.append(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if loop is not self._flushed_by:
            self._flushed_by = loop
            loop.call_soon(self.flush)

    def flush(self) -> None:
        """A line that cannot be written is lost, as any other would be; no request fails by it."""
        self._flushed_by = None
        waiting, self._waiting = self._waiting, []
        for piece in _pieces(waiting):
            with suppress(OSError, ValueError):
                self._stream.write(piece)
        if waiting:
            with suppress(OSError, ValueError):
                self._stream.flush()


def _pieces(lines: list[str]) -> Iterator[str]:
    """Whole lines together, as many as are safe; their JSON may hold more bytes than characters."""
    piece, size = "", 0
    for line in lines:
        length = len(line.encode("utf-8", "replace"))
        if piece and size + length > WHOLE_BYTES:
            yield piece
            piece, size = "", 0
        piece += line
        size += length
    if piece:
        yield piece


class _JsonHandler(logging.StreamHandler[TextIO]):
    """The one handler where lines are JSON: what ``info`` writes goes where all else goes."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.lines = _Lines(stream)


def _waiting_lines() -> _Lines | None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _JsonHandler):
            return handler.lines
    return None


_second: tuple[int, str] = (0, "")


def info(logger: str, event: str, fields: dict[str, Any]) -> None:
    """One line at level ``info``. ``fields`` are JSON-ready; this takes them over."""
    lines = _waiting_lines()
    if lines is None:
        structlog.get_logger(logger).info(event, **fields)
        return
    if not logging.getLogger(logger).isEnabledFor(logging.INFO):
        return
    fields |= {"event": event, "logger": logger, "level": "info", "timestamp": _timestamp()}
    try:
        line = msgspec.json.encode(fields).decode()
    except UnicodeEncodeError:  # half of a character, in a policy's own words
        line = json.dumps(fields)
    lines.add(f"{line}\n")


def flush() -> None:
    """Writes what waits; for the end of a process."""
    lines = _waiting_lines()
    if lines is not None:
        lines.flush()


def _timestamp() -> str:
    """RFC 3339 in UTC with microseconds; only these change between two lines of a second."""
    global _second
    now = time.time()
    second = int(now)
    if second != _second[0]:
        _second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
    return f"{_second[1]}.{int((now - second) * 1_000_000):06d}Z"


def configure(level: str, log_format: str, stream: TextIO = sys.stderr) -> None:
    """Sends structlog's and every library's lines through one handler.

    Args:
        level: ``debug`` … ``error``.
        log_format: ``json``, ``console``, or ``auto``: console where ``stream`` is a terminal.
    """
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream) if console else _JsonHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder(allow=_EXTRAS)],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.ExceptionRenderer(_place_and_kind),
                renderer,
            ],
        )
    )
    flush()
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    # Libraries speak only when something is wrong: their chatter may hold URLs with queries.
    for name in ("botocore", "boto3", "urllib3", "httpx", "sanic", "temporalio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            *_SHARED,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _place_and_kind(
    exc_info: tuple[type[BaseException], BaseException, TracebackType | None],
) -> str:
    """An exception with its causes: where, and what kind. Not what it says, nor any variable.

    Its text may quote what it was given: a password, a query, a body.
    """
    return "\n".join(_told(exc_info[1]))


def _told(exception: BaseException) -> Iterator[str]:
    cause = exception.__cause__ or (
        None if exception.__suppress_context__ else exception.__context__
    )
    if cause is not None:
        yield from _told(cause)
        yield "which led to:"
    for line in traceback.format_tb(exception.__traceback__):
        yield line.rstrip()
    yield type(exception).__qualname__
    if isinstance(exception, BaseExceptionGroup):
        for part in exception.exceptions:
            yield from _told(part)


atexit.register(flush)
