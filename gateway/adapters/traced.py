"""A port with a span round each call of a request; only there when traces are switched on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from gateway.ports import OnBehalfOf
from gateway.telemetry.tracing import TRACEPARENT, Tracer, child

Port = TypeVar("Port")


def with_spans(inner: Port, name: str, calls: frozenset[str], tracer: Tracer) -> Port:
    """``inner`` in every way, with a span ``"<name> <call>"`` round each of ``calls``."""
    return cast(Port, _Traced(inner, name, calls, tracer))


class _Traced:
    def __init__(self, inner: object, name: str, calls: frozenset[str], tracer: Tracer) -> None:
        self._inner = inner
        self._name = name
        self._calls = calls
        self._tracer = tracer

    def __getattr__(self, attribute: str) -> Any:
        found = getattr(self._inner, attribute)
        if attribute not in self._calls:
            return found
        call = self._with_span(found, f"{self._name} {attribute}")
        setattr(self, attribute, call)  # found without ``__getattr__`` from now on
        return call

    def _with_span(self, call: Callable[..., Awaitable[Any]], name: str) -> Any:
        async def spanned(*arguments: Any, **named: Any) -> Any:
            if TRACEPARENT.get() is None:
                return await call(*arguments, **named)
            with child(self._tracer, name) as span:
                passed = [_under(argument, span.traceparent) for argument in arguments]
                return await call(*passed, **named)

        return spanned


def _under(argument: Any, traceparent: str) -> Any:
    """The core is called under the span of the call, not of the request."""
    if isinstance(argument, OnBehalfOf):
        return argument._replace(traceparent=traceparent)
    return argument
