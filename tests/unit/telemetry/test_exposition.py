"""The page, read back by Prometheus's own parser for Python."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.exposition import page
from gateway.telemetry.layout import Layout
from gateway.telemetry.metric import Counter, Gauge, Histogram, ProcessNames, sets_of
from gateway.telemetry.shared_metrics import SharedMetrics

ASKED = Counter(
    "asked_total",
    'How "often"\\\nasked.',
    labels=("who",),
    series=(("a",), ('b"\\\n',)),
)
SELDOM = Counter("seldom_total", "Mostly never.", labels=("n",), series=sets_of("12"), sparse=True)
OPEN = Gauge("open", "Open.")
KNOWN = Gauge("known", "Known to each.", across="max")
TOOK = Histogram("took_seconds", "Took.", labels=("r",), series=sets_of("xy"), buckets=(0.1, 1.0))
LAYOUT = Layout([ASKED, SELDOM, OPEN, KNOWN, TOOK], ProcessNames())


@pytest.fixture
def shared() -> SharedMetrics:
    return SharedMetrics(2)


def samples(shared: SharedMetrics) -> dict[tuple[str, ...], float]:
    text = page(LAYOUT, shared).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_of_all_rows_are_one(shared: SharedMetrics) -> None:
    """Whichever worker counted, and whether it lives."""
    at = LAYOUT.cell(ASKED, "a")
    shared.take(0, 1, [])[at] = 2.0
    shared.take(1, 2, [])[at] = 3.0
    shared.supervisor_row()[at] = 0.5
    shared.release(2)
    assert samples(shared)["asked_total", "a"] == 5.5


def test_gauges_are_those_of_the_living(shared: SharedMetrics) -> None:
    """Added up, or the largest where each worker sees the same thing."""
    for number, value in ((0, 2.0), (1, 3.0)):
        row = shared.take(number, number + 1, [])
        row[LAYOUT.cell(OPEN)] = row[LAYOUT.cell(KNOWN)] = value
    both = samples(shared)
    assert (both["open",], both["known",]) == (5.0, 3.0)
    shared.release(2)
    one = samples(shared)
    assert (one["open",], one["known",]) == (2.0, 2.0)


def test_a_histogram_is_cumulative_and_agrees_with_itself(shared: SharedMetrics) -> None:
    """The count is that of ``+Inf``, always."""
    row, at = shared.take(0, 1, []), LAYOUT.cell(TOOK, "x")
    for n, count in enumerate((9.25, 1.0, 2.0, 4.0)):
        row[at + n] = count
    found = samples(shared)
    buckets = [found["took_seconds_bucket", "x", le] for le in ("0.1", "1", "+Inf")]
    assert buckets == [1.0, 3.0, 7.0]
    assert (found["took_seconds_count", "x"], found["took_seconds_sum", "x"]) == (7.0, 9.25)
    assert found["took_seconds_count", "y"] == 0.0


def test_help_and_values_are_escaped(shared: SharedMetrics) -> None:
    """The format's own three: backslash, line feed, and in values the quote."""
    text = page(LAYOUT, shared).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["asked"].documentation == 'How "often"\\\nasked.'
    assert ("asked_total", 'b"\\\n') in samples(shared)


def test_what_never_happened_is_not_exposed_where_most_never_does(shared: SharedMetrics) -> None:
    """Other counters begin at zero, so that the first step is seen as one."""
    row = shared.take(0, 1, [])
    row[LAYOUT.cell(SELDOM, "2")] = 1.0
    found = samples(shared)
    assert ("seldom_total", "1") not in found
    assert found["seldom_total", "2"] == 1.0
    assert found["asked_total", "a"] == 0.0
