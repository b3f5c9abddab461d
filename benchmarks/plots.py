"""Plots of the results: ``results/<scenario>.png`` and ``.svg``, if matplotlib is installed.

Bars are medians over the rounds; the lines on them reach from the lowest round to the highest.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.summary import Row

# scenario → the measurements to draw, each with its title.
DRAWN: Mapping[str, Sequence[tuple[str, str]]] = {
    "relay": (
        ("cpu_us_per_event", "CPU a relayed event, µs"),
        ("added_p50_ms", "added latency, median, ms"),
        ("added_p99_ms", "added latency, 99th percentile, ms"),
    ),
    "memory": (("rss_kib_per_stream", "memory an open stream, KiB"),),
    "many": (("rss_kib_per_stream", "memory an open stream, two workers, KiB"),),
    "unary": (
        ("requests_per_s", "requests a second"),
        ("cpu_us_per_request", "CPU a request, µs"),
    ),
    "storm": (
        ("first_byte_max_ms", "last first byte, ms"),
        ("open_cpu_us", "CPU an opened stream, µs"),
        ("leave_cpu_us", "CPU a stream that is left, µs"),
    ),
    "churn": (
        ("leave_seen_p99_ms", "leave seen by the core, 99th percentile, ms"),
        ("cpu_us_per_stream", "CPU a stream, µs"),
    ),
    "slow": (("grown_kib_per_stream", "memory beyond an idle stream's, KiB"),),
}
# Ours, and everybody else.
_OURS, _OTHERS = "#2563eb", "#94a3b8"


def available() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def draw(scenario: str, result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draws the measurements of a scenario side by side, a row for each number of streams."""
    from matplotlib.figure import Figure

    figures = DRAWN[scenario]
    sizes = sorted({row["streams"] for row in result["summary"]})
    if not sizes:
        return []
    picture = Figure(figsize=(4.6 * len(figures), 0.6 + 2.9 * len(sizes)), layout="constrained")
    grid = picture.subplots(len(sizes), len(figures), squeeze=False)
    for line, streams in zip(grid, sizes, strict=True):
        for axes, (figure, title) in zip(line, figures, strict=True):
            _bars(axes, result, streams, figure)
            axes.set_title(f"{title} ({streams})", fontsize=10)
    machine = result["machine"]
    picture.suptitle(
        f"{scenario}: {machine['cpu']}, {machine['cpus']} CPUs, {result['taken_at'][:10]}",
        fontsize=9,
    )
    paths = [folder / f"{scenario}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        # No date inside: the same results give the same file.
        metadata = {"Date": None} if path.suffix == ".svg" else None
        picture.savefig(path, dpi=130, metadata=metadata)
    return paths


def _bars(axes: Any, result: Mapping[str, Any], streams: int, figure: str) -> None:
    chosen = [row for row in result["summary"] if row["streams"] == streams and figure in row]
    chosen.sort(key=lambda row: float(row[figure]), reverse=True)
    names = [row["system"] for row in chosen]
    values = [float(row[figure]) for row in chosen]
    spread = [_spread(result["rows"], row, figure) for row in chosen]
    below = [max(value - low, 0.0) for value, (low, _) in zip(values, spread, strict=True)]
    above = [max(high - value, 0.0) for value, (_, high) in zip(values, spread, strict=True)]
    colours = [_OURS if name == "gateway" else _OTHERS for name in names]
    bars = axes.barh(names, values, color=colours, xerr=(below, above), ecolor="#334155")
    axes.bar_label(bars, labels=[_label(value) for value in values], fontsize=8, padding=4)
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _label(value: float) -> str:
    return f" {value:,.0f}" if abs(value) >= 100 else f" {value:.3g}"


def _spread(rows: Sequence[Row], of: Row, figure: str) -> tuple[float, float]:
    values = [
        row[figure]
        for row in rows
        if (row["system"], row["streams"]) == (of["system"], of["streams"]) and figure in row
    ]
    return min(values), max(values)
