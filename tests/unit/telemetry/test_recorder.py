"""Recording in a row, and that only listed label sets come of it."""

from __future__ import annotations

import pytest

from gateway.telemetry.layout import Layout, UnlistedLabels
from gateway.telemetry.metric import Counter, Gauge, Histogram, Metric, ProcessNames, sets_of
from gateway.telemetry.recorder import MetricsRecorder
from gateway.telemetry.shared_metrics import Cells, SharedMetrics

ASKED = Counter(
    "asked_total", "Asked.", labels=("who", "how"), series=sets_of("ab", "xy"), others=("b", "y")
)
SEEN = Counter("seen_total", "Seen.", labels=("place",), series=lambda names: sets_of(names.pools))
OPEN = Gauge("open", "Open.")
TOOK = Histogram("took_seconds", "Took.", labels=("who",), series=sets_of("ab"), buckets=(0.1, 1.0))
LAYOUT = Layout([ASKED, SEEN, OPEN, TOOK], ProcessNames(pools=("core", "policy")))


@pytest.fixture
def row() -> Cells:
    return SharedMetrics().take(0, 1, [])


@pytest.fixture
def recorder(row: Cells) -> MetricsRecorder:
    return MetricsRecorder(LAYOUT, row)


def counted(row: Cells, metric: Metric) -> dict[tuple[str, ...], float]:
    return {labels: row[at] for labels, at in LAYOUT.cells_of(metric).items() if row[at]}


def test_a_counter_grows_and_a_gauge_stands(recorder: MetricsRecorder, row: Cells) -> None:
    """Each label set by itself, those made of a process's names too."""
    recorder.add(ASKED, ("a", "x"))
    recorder.add(ASKED, ("a", "x"), 2.0)
    recorder.add(SEEN, ("policy",))
    recorder.set(OPEN, (), 5.0)
    recorder.set(OPEN, (), 3.0)
    assert counted(row, ASKED) == {("a", "x"): 3.0}
    assert counted(row, SEEN) == {("policy",): 1.0}
    assert counted(row, OPEN) == {(): 3.0}


def test_an_observation_falls_into_one_bucket(recorder: MetricsRecorder, row: Cells) -> None:
    """A bound belongs to its bucket, and what is above all bounds to the infinite one."""
    for seconds in (0.05, 0.1, 0.7, 30.0):
        recorder.observe(TOOK, ("b",), seconds)
    at = LAYOUT.cell(TOOK, "b")
    in_all, *counts = (row[at + n] for n in range(TOOK.cells))
    assert counts == [2.0, 1.0, 1.0]
    assert in_all == pytest.approx(30.85)


@pytest.mark.parametrize(
    ("labels", "listed"),
    [
        (("a", "?"), ("a", "y")),
        (("?", "x"), ("b", "x")),
        (("?", "?"), ("b", "y")),
        (('x"} 1\nforged{a="', ""), ("b", "y")),
    ],
)
def test_what_is_not_listed_counts_as_the_nearest_that_is(
    recorder: MetricsRecorder, row: Cells, labels: tuple[str, ...], listed: tuple[str, ...]
) -> None:
    """As few values as possible are replaced, the last ones first; no series is added."""
    recorder.add(ASKED, labels)
    assert counted(row, ASKED) == {listed: 1.0}


def test_labels_that_only_the_code_chooses_must_be_listed(recorder: MetricsRecorder) -> None:
    """A metric without ``others`` says so to whoever misspells one of its values."""
    with pytest.raises(UnlistedLabels):
        recorder.add(SEEN, ("nowhere",))
    with pytest.raises(UnlistedLabels):
        recorder.set(OPEN, ("one", "too", "many"), 1.0)
    with pytest.raises(UnlistedLabels):
        recorder.observe(TOOK, ("?",), 1.0)


def test_a_recorder_without_a_row_records_for_itself(row: Cells) -> None:
    """Whoever holds one before the worker begins keeps it; nothing of before is exposed."""
    recorder = MetricsRecorder(LAYOUT)
    recorder.add(ASKED, ("a", "x"))
    recorder.record_into(row)
    recorder.add(ASKED, ("a", "y"))
    assert counted(row, ASKED) == {("a", "y"): 1.0}
