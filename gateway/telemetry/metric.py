"""What a metric is: its name, its kind, and every label set it can ever have.

Label sets are listed, not discovered. So nothing a client or a core sends can become a label's
value, a worker's figures fit into a sheet of fixed size (``sheet``), and the documentation, the
dashboard and the alert rules can be checked against what there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
LabelSet = tuple[str, ...]

OTHER = "other"
NO_LABELS: tuple[LabelSet, ...] = ((),)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        labels: the labels' names; ``series`` has every set of values, in the same order.
        buckets: a histogram's upper bounds, without the infinite one.
        across: how the workers' gauges become one figure.
        sparse: label sets that never counted anything are left out: most of them never will.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    series: tuple[LabelSet, ...] = NO_LABELS
    buckets: tuple[float, ...] = ()
    across: Literal["sum", "max"] = "sum"
    sparse: bool = False

    @property
    def cells(self) -> int:
        """How many numbers one label set takes: a histogram's last two are ``+Inf`` and its sum."""
        return len(self.buckets) + 2 if self.kind == "histogram" else 1


def sets_of(*values: Iterable[str]) -> tuple[LabelSet, ...]:
    """Every combination of the labels' values."""
    return tuple(product(*(tuple(each) for each in values)))


class Layout:
    """Which cells of a sheet belong to which label set; the same in every process of a release."""

    def __init__(self, metrics: Iterable[Metric], first: int = 0) -> None:
        self.metrics = tuple(metrics)
        self._start: dict[str, dict[LabelSet, int]] = {}
        at = first
        for metric in self.metrics:
            starts = self._start[metric.name] = {}
            for labels in metric.series:
                starts[labels] = at
                at += metric.cells
        self.end = at

    def cells_of(self, name: str) -> dict[LabelSet, int]:
        """Each label set's first cell."""
        return self._start[name]

    def cell(self, name: str, *labels: str) -> int:
        return self._start[name][labels]

    def gauge_cells(self) -> tuple[int, ...]:
        """Those that say something of a process that lives, and nothing of one that is gone."""
        gauges = (metric.name for metric in self.metrics if metric.kind == "gauge")
        return tuple(cell for name in gauges for cell in self._start[name].values())
