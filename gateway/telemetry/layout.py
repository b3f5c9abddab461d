"""Which cells of a row belong to which label set; the same in every process of a release."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

from gateway.telemetry.metric import Gauge, LabelSet, Metric, ProcessNames
from gateway.telemetry.shared_metrics import FIRST_CELL


class UnlistedLabels(LookupError):
    """A label set was recorded that its metric's declaration does not list."""


class Layout:
    """The cells of ``metrics`` in their order, behind those every row begins with."""

    def __init__(self, metrics: Iterable[Metric], names: ProcessNames) -> None:
        self.metrics = tuple(metrics)
        self.names = names
        self.cells: dict[Metric, dict[LabelSet, int]] = {}
        at = FIRST_CELL
        for metric in self.metrics:
            first_cells = self.cells[metric] = {}
            for labels in metric.series_of(names):
                first_cells[labels] = at
                at += metric.cells
        self.end = at

    def cells_of(self, metric: Metric) -> Mapping[LabelSet, int]:
        """Each label set's first cell."""
        return self.cells[metric]

    def cell(self, metric: Metric, *labels: str) -> int:
        return self.cells[metric][labels]

    def nearest(self, metric: Metric, labels: LabelSet) -> int:
        """The first cell of ``labels``, or of the listed set that comes nearest to it.

        Tried in turn: the metric's ``others`` in place of the last value, of the one before it, of
        both, and so on. Nothing is remembered, because clients may choose the values.

        Raises:
            UnlistedLabels
        """
        listed = self.cells[metric]
        if len(labels) == len(metric.others):
            for near in product(*zip(labels, metric.others, strict=True)):
                at = listed.get(near)
                if at is not None:
                    return at
        raise UnlistedLabels(f"{metric.name} has no series {labels}")

    def gauge_cells(self) -> tuple[int, ...]:
        """Those that say something of a process that lives, and nothing of one that is gone."""
        gauges = (metric for metric in self.metrics if isinstance(metric, Gauge))
        return tuple(cell for metric in gauges for cell in self.cells[metric].values())
