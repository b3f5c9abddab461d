"""What a metric is: its name, its kind, and every label set it can ever have.

Label sets are listed, not discovered. So nothing a client or a core sends can become a label's
value, a worker's numbers fit into a row of fixed size (``shared_metrics``), and the documentation,
the dashboard and the alert rules can be checked against what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass
from itertools import product
from typing import ClassVar, Literal

Kind = Literal["counter", "gauge", "histogram"]
LabelSet = tuple[str, ...]

OTHER = "other"
NONE = "none"
NO_LABELS: tuple[LabelSet, ...] = ((),)


@dataclass(frozen=True, slots=True)
class ProcessNames:
    """What some label sets are made of, and a process knows only when it puts itself together.

    All processes that share memory have to agree on these, because each name moves the cells of
    those after it. So they follow from the release, never from a setting: a reload changes settings
    while older workers still run.

    Attributes:
        routes: method and template of each route.
        build: the gateway's version and Python's.
        dependencies: the names of all that readiness watches.
        pools: those of them whose connections are counted.
    """

    routes: tuple[tuple[str, str], ...] = ()
    build: LabelSet = ("", "")
    dependencies: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()


Series = tuple[LabelSet, ...] | Callable[[ProcessNames], Iterable[LabelSet]]


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """One metric's declaration. It holds no number: ``MetricsRecorder`` does, for each process.

    Attributes:
        labels: the labels' names; ``series`` has every set of values, in the same order.
        series: the label sets, or what makes them of a process's names.
        others: for each label, the value that a set takes which is not listed (``Layout.nearest``);
            empty where only a mistake in the code could record such a set.
        sparse: label sets that never counted anything are not exposed: most of them never will.
    """

    kind: ClassVar[Kind]

    name: str
    help: str
    _: KW_ONLY
    labels: tuple[str, ...] = ()
    series: Series = NO_LABELS
    others: LabelSet = ()
    sparse: bool = False

    @property
    def cells(self) -> int:
        """How many numbers one label set takes."""
        return 1

    def series_of(self, names: ProcessNames) -> tuple[LabelSet, ...]:
        return tuple(self.series(names)) if callable(self.series) else self.series


class Counter(Metric):
    """Only ever grows: ``MetricsRecorder.add``."""

    __slots__ = ()
    kind = "counter"


@dataclass(frozen=True, slots=True, eq=False)
class Gauge(Metric):
    """Stands at a value while its process lives: ``MetricsRecorder.set``.

    Attributes:
        across: how the workers' values become one.
    """

    kind = "gauge"

    across: Literal["sum", "max"] = "sum"


@dataclass(frozen=True, slots=True, eq=False)
class Histogram(Metric):
    """How values are spread: ``MetricsRecorder.observe``.

    Attributes:
        buckets: upper bounds, without the infinite one.
    """

    kind = "histogram"

    buckets: tuple[float, ...] = ()

    @property
    def cells(self) -> int:
        """The sum of all values, then the count of each bucket, the infinite one last."""
        return len(self.buckets) + 2


def sets_of(*values: Iterable[str]) -> tuple[LabelSet, ...]:
    """Every combination of the labels' values."""
    return tuple(product(*(tuple(each) for each in values)))
