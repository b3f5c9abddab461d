"""What the code that serves a request reaches by the request's application: one typed value.

Sanic's ``app.ctx`` takes any name and any value; this is the only one the gateway keeps there. It
is set in the worker, once its services exist and before its first request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from sanic import Request, Sanic

from gateway.telemetry.recorder import MetricsRecorder


@dataclass(frozen=True, slots=True)
class FormLimits:
    """Checked before (``size_bytes``) and while (``parts``) a form is parsed, not after."""

    size_bytes: int
    parts: int


@dataclass(frozen=True, slots=True)
class AppContext:
    """``provided`` maps types to the flows that handlers name in their parameters.

    ``answer_limit_bytes`` bounds a JSON answer that is collected from a stream. ``ask_again`` is
    ``Pipeline.ask_again``: it raises what refuses a request that was let in some time ago.
    """

    form_limits: FormLimits
    answer_limit_bytes: int
    metrics: MetricsRecorder
    provided: Mapping[type, object]
    ask_again: Callable[[Request], Awaitable[None]]


def set_context(app: Sanic[Any, Any], context: AppContext) -> None:
    app.ctx.gateway = context


def context_of(app: Sanic[Any, Any]) -> AppContext:
    return cast(AppContext, app.ctx.gateway)
