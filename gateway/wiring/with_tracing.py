"""Switches traces on: a tracer, and the adapters with a span round each of their calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway import __version__
from gateway.settings import Settings
from gateway.telemetry.tracing import Tracer

if TYPE_CHECKING:
    from gateway.wiring.services import Adapters


def traced(
    settings: Settings, adapters: Adapters, closers: list[Callable[[], Any]]
) -> tuple[Adapters, Tracer | None]:
    """The same adapters, and no tracer, unless a collector is named."""
    if settings.otlp_endpoint is None:
        return adapters, None
    # Their import costs 6 MB, and they come with an extra.
    from gateway.adapters.otel import OtelTracer
    from gateway.adapters.traced import with_spans

    tracer = OtelTracer(settings.otlp_endpoint, settings.otlp_sample, __version__)
    closers.append(tracer.aclose)
    wrapped = replace(
        adapters,
        policy=with_spans(adapters.policy, "policy", tracer),
        core=with_spans(adapters.core, "core", tracer),
        store=with_spans(adapters.store, "storage", tracer),
        workflows=with_spans(adapters.workflows, "temporal", tracer),
        key_store=with_spans(adapters.key_store, "keys", tracer),
    )
    return wrapped, tracer
