"""All workers' metrics as one page in Prometheus's text format, version 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text-based format).
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.telemetry.layout import Layout
from gateway.telemetry.metric import Gauge, Histogram, LabelSet, Metric
from gateway.telemetry.shared_metrics import Row, SharedMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def page(layout: Layout, shared: SharedMetrics) -> bytes:
    """Counters and histograms of all processes there ever were; gauges of those alive."""
    rows, living = shared.read(layout.end)
    ever = _summed(rows, layout.end)
    now = {"sum": _summed(living, layout.end), "max": _largest(living, layout.end)}
    lines: list[str] = []
    for metric in layout.metrics:
        cells = now[metric.across] if isinstance(metric, Gauge) else ever
        lines.append(f"# HELP {metric.name} {_escaped(metric.help)}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        for labels, at in layout.cells_of(metric).items():
            found = cells[at : at + metric.cells]
            if not metric.sparse or any(found):
                lines.extend(_samples(metric, labels, found))
    return ("\n".join(lines) + "\n").encode("utf-8")


def _summed(rows: list[Row], end: int) -> Row:
    return list(map(sum, zip(*rows, strict=True))) if rows else [0.0] * end


def _largest(rows: list[Row], end: int) -> Row:
    return list(map(max, zip(*rows, strict=True))) if rows else [0.0] * end


def _samples(metric: Metric, labels: LabelSet, found: Row) -> Iterator[str]:
    pairs = list(zip(metric.labels, labels, strict=True))
    if isinstance(metric, Histogram):
        yield from _histogram(metric, pairs, found)
    else:
        yield f"{metric.name}{_labels(pairs)} {_number(found[0])}"


def _histogram(metric: Histogram, pairs: list[tuple[str, str]], found: Row) -> Iterator[str]:
    """The count is the buckets' sum, so that the two agree whenever a worker is read."""
    in_all, *counts = found
    total = 0.0
    for bound, count in zip([*map(_number, metric.buckets), "+Inf"], counts, strict=True):
        total += count
        yield f"{metric.name}_bucket{_labels([*pairs, ('le', bound)])} {_number(total)}"
    yield f"{metric.name}_sum{_labels(pairs)} {_number(in_all)}"
    yield f"{metric.name}_count{_labels(pairs)} {_number(total)}"


def _labels(pairs: list[tuple[str, str]]) -> str:
    if not pairs:
        return ""
    text = ",".join(f'{name}="{_escaped(value, quoted=True)}"' for name, value in pairs)
    return f"{{{text}}}"


def _escaped(text: str, *, quoted: bool = False) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quoted else text


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
