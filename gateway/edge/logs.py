"""Logging: one JSON object a line, or something to read when stderr is a terminal."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TextIO

import structlog

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
# What our own modules say through the standard library's `extra`; a library's extras stay out.
_EXTRAS = ("status", "media_type", "coding", "request_id")


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
    handler = logging.StreamHandler(stream)
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
