"""Logging: one JSON object a line, or something to read when stderr is a terminal.

A request's line is the one that comes thousands of times a second, so ``info`` says it in JSON
without structlog and the standard library in between, which cost ten times as much, and writes all
that one round of the event loop brings in one go. It looks as if structlog had written it.

Here is how lines are written. The fields of a request's line stand in ``access_log.py``.
"""

from __future__ import annotations

import asyncio
import atexit
import io
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterator
from functools import cache
from types import TracebackType
from typing import Any, TextIO

import msgspec
import structlog

from gateway.telemetry.log_writer import LogStream, LogWriter
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
LOSS = "log lines dropped"
# How soon lines that could not be written are tried again, in seconds.
RETRY_S = 0.25
# How long a process that ends waits for a slow reader of its log, in seconds.
FINISH_S = 1.0


class _Lines:
    """Lines that wait for the end of the loop's present round, and for room."""

    def __init__(self, writer: LogWriter) -> None:
        self.writer = writer
        self._flushed_by: asyncio.AbstractEventLoop | None = None

    def add(self, line: str) -> None:
        self.writer.add(line)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.writer.flush()
            return
        if loop is not self._flushed_by:
            self._flushed_by = loop
            loop.call_soon(self._flush)

    def _flush(self) -> None:
        loop, self._flushed_by = self._flushed_by, None
        if not self.writer.flush() and loop is not None:
            # Nobody may log anything for a while: what waits is tried again all the same.
            self._flushed_by = loop
            loop.call_later(RETRY_S, self._flush)


class _Handler(logging.Handler):
    """The one handler: what ``info`` writes goes where all else goes."""

    def __init__(self, writer: LogWriter, *, is_json: bool) -> None:
        super().__init__()
        self.lines = _Lines(writer)
        self.is_json = is_json

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.lines.add(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)
        # Such lines are few, and may be the last ones of a process that crashes.
        self.lines.writer.flush()


def _handler() -> _Handler | None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, _Handler):
            return handler
    return None


# Asking ``logging`` takes its lock.
_logger = cache(logging.getLogger)
_second: tuple[int, str] = (0, "")


def info(logger: str, event: str, fields: dict[str, Any]) -> None:
    """One line at level ``info``. ``fields`` are JSON-ready; this takes them over."""
    handler = _handler()
    if handler is None or not handler.is_json:
        structlog.get_logger(logger).info(event, **fields)
        return
    if not _logger(logger).isEnabledFor(logging.INFO):
        return
    fields |= {"event": event, "logger": logger, "level": "info", "timestamp": _timestamp()}
    try:
        line = msgspec.json.encode(fields).decode()
    except UnicodeEncodeError:  # half of a character, in a policy's own words
        line = json.dumps(fields)
    handler.lines.add(f"{line}\n")


def flush() -> None:
    """Writes what waits, as far as there is room."""
    handler = _handler()
    if handler is not None:
        handler.lines.writer.flush()


def finish() -> None:
    """Writes what waits at the end of a process; a reader that is slow gets a moment for it."""
    handler = _handler()
    if handler is not None:
        handler.lines.writer.finish(FINISH_S)


def dropped_total() -> int:
    """Lines that were lost because they could not be written, since this process started."""
    handler = _handler()
    return 0 if handler is None else handler.lines.writer.dropped_total


def _forget() -> None:
    handler = _handler()
    if handler is not None:
        handler.lines.writer.forget()


def _timestamp() -> str:
    """RFC 3339 in UTC with microseconds; only these change between two lines of a second."""
    global _second
    now = time.time()
    second = int(now)
    if second != _second[0]:
        _second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
    return f"{_second[1]}.{int((now - second) * 1_000_000):06d}Z"


def serve_standard_error(level: str, log_format: str) -> None:
    """``configure`` for a process that serves: nothing that it prints blocks it or makes it fail.

    Source: Python ends with status 120 when it cannot flush ``sys.stderr``.
    """
    sys.stderr = LogStream(configure(level, log_format))


def configure(level: str, log_format: str, stream: TextIO | None = None) -> LogWriter:
    """Sends structlog's and every library's lines through one handler.

    Args:
        level: ``debug`` … ``error``.
        log_format: ``json``, ``console``, or ``auto``: console where ``stream`` is a terminal.
        stream: ``sys.stderr`` when left out.
    """
    stream = stream or sys.stderr or io.StringIO()
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    )
    writer = LogWriter(stream, _console_loss if console else _json_loss)
    handler = _Handler(writer, is_json=not console)
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
    return writer


def _json_loss(lines: int) -> str:
    fields = {"dropped": lines, "event": LOSS, "logger": "gateway.log", "level": "warning"}
    return msgspec.json.encode({**fields, "timestamp": _timestamp()}).decode() + "\n"


def _console_loss(lines: int) -> str:
    return f"{_timestamp()} [warning  ] {LOSS} [gateway.log] dropped={lines}\n"


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


os.register_at_fork(after_in_child=_forget)
atexit.register(finish)
