"""How a process records: additions to numbers in its own row, without a lock, without formatting.

Nothing here is called for a relayed event; a request makes three or four such calls, a stream's end
as many. Each takes some tenths of a microsecond.
"""

from __future__ import annotations

from bisect import bisect_left

from gateway.telemetry.layout import Layout
from gateway.telemetry.metric import Counter, Gauge, Histogram, LabelSet
from gateway.telemetry.shared_metrics import Cells, private_row


class MetricsRecorder:
    """Records any declared metric of ``layout`` in one row.

    The row is private until ``record_into`` names one in shared memory, so that whoever records has
    a recorder from the start and keeps it; what was recorded until then is dropped.

    A label set that is not listed counts as its metric's ``others`` say.

    Raises:
        UnlistedLabels: from each method, where the metric has no ``others``: a mistake in the code.
    """

    __slots__ = ("_cells", "_first_cells", "_nearest")

    def __init__(self, layout: Layout, cells: Cells | None = None) -> None:
        self._first_cells = layout.cells
        self._nearest = layout.nearest
        self._cells = private_row() if cells is None else cells

    def record_into(self, cells: Cells) -> None:
        self._cells = cells

    # Each method looks the cell up by itself: one more call would be a third of what it costs.

    def add(self, counter: Counter, labels: LabelSet = (), more: float = 1.0) -> None:
        try:
            at = self._first_cells[counter][labels]
        except KeyError:
            at = self._nearest(counter, labels)
        self._cells[at] += more

    def set(self, gauge: Gauge, labels: LabelSet, value: float) -> None:
        try:
            at = self._first_cells[gauge][labels]
        except KeyError:
            at = self._nearest(gauge, labels)
        self._cells[at] = value

    def observe(self, histogram: Histogram, labels: LabelSet, value: float) -> None:
        try:
            at = self._first_cells[histogram][labels]
        except KeyError:
            at = self._nearest(histogram, labels)
        cells = self._cells
        cells[at] += value
        cells[at + 1 + bisect_left(histogram.buckets, value)] += 1.0
