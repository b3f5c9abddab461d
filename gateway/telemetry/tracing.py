"""One span a request, with a child for each call that it makes to a dependency.

What flows which way: the edge begins a request's span under the caller's ``traceparent`` and puts
the span's own into ``TRACEPARENT``. A call made meanwhile, in this task or in one that it starts,
finds its parent there and passes its own on: to the core as a header, into a workflow as Temporal's
header. Without a tracer the caller's ``traceparent`` is passed on as it came, and nothing else is
done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol

from gateway.errors import GatewayError

# The W3C ``traceparent`` of the span this task works under; ``None`` where there is none.
TRACEPARENT: ContextVar[str | None] = ContextVar("traceparent", default=None)

Value = str | int | float | bool


class Span(Protocol):
    """Some work that takes time. Only the first ``end`` counts."""

    @property
    def traceparent(self) -> str: ...

    def set_attribute(self, name: str, value: Value) -> None: ...

    def end(self, error: str | None = None) -> None:
        """``error`` is a short word from a fixed set: a code, or the name of an exception's class.

        Never an exception's text, which may quote what it was given.
        """


class Tracer(Protocol):
    def begin(self, name: str, kind: Literal["server", "client"], parent: str | None) -> Span:
        """A span under ``parent``, a checked ``traceparent``, or a trace of its own."""

    async def aclose(self) -> None:
        """Exports the spans that have ended."""


@contextmanager
def child(tracer: Tracer, name: str) -> Iterator[Span]:
    """A span for a call to a dependency, as long as the block."""
    span = tracer.begin(name, "client", TRACEPARENT.get())
    before = TRACEPARENT.set(span.traceparent)
    try:
        yield span
    except BaseException as exc:
        span.end(error_word(exc))
        raise
    else:
        span.end()
    finally:
        TRACEPARENT.reset(before)


def error_word(exc: BaseException) -> str:
    return exc.code if isinstance(exc, GatewayError) else type(exc).__name__


def trace_id(traceparent: str) -> str:
    """Hexadecimal, as logs and trace viewers have it."""
    return traceparent.split("-", 2)[1]
