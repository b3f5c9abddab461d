"""Who still uses what will no longer be served."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.domain.versions import version_in
from gateway.telemetry.metric import NONE, Counter, LabelSet, ProcessNames


def _versions(names: ProcessNames) -> Iterable[LabelSet]:
    """Of all routes; ``none`` is that of those at the root."""
    return [(name,) for name in sorted({version_in(path) or NONE for _, path in names.routes})]


DEPRECATED_REQUESTS = Counter(
    "gateway_deprecated_requests_total",
    "Requests to routes that have a day on which they end, by the version of the API.",
    labels=("version",),
    series=_versions,
    sparse=True,
)
