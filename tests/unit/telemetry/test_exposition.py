"""The page, read back by Prometheus's own parser for Python."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.exposition import page
from gateway.telemetry.metric import Layout, Metric, sets_of
from gateway.telemetry.sheet import FIRST_CELL, Sheet

LAYOUT = Layout(
    [
        Metric("asked_total", "counter", 'How "often"\\\nasked.', ("who",), (("a",), ('b"\\\n',))),
        Metric("seldom_total", "counter", "Mostly never.", ("n",), sets_of("12"), sparse=True),
        Metric("open", "gauge", "Open."),
        Metric("known", "gauge", "Known to each.", across="max"),
        Metric("took_seconds", "histogram", "Took.", ("r",), sets_of("xy"), (0.1, 1.0)),
    ],
    FIRST_CELL,
)


@pytest.fixture
def sheet() -> Sheet:
    return Sheet(2)


def samples(sheet: Sheet) -> dict[tuple[str, ...], float]:
    text = page(LAYOUT, sheet).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_of_all_rows_are_one(sheet: Sheet) -> None:
    """Whichever worker counted, and whether it lives."""
    at = LAYOUT.cell("asked_total", "a")
    sheet.take(0, 1, [])[at] = 2.0
    sheet.take(1, 2, [])[at] = 3.0
    sheet.overseers()[at] = 0.5
    sheet.give_up(2)
    assert samples(sheet)["asked_total", "a"] == 5.5


def test_gauges_are_those_of_the_living(sheet: Sheet) -> None:
    """Added up, or the largest where each worker sees the same thing."""
    for number, value in ((0, 2.0), (1, 3.0)):
        row = sheet.take(number, number + 1, [])
        row[LAYOUT.cell("open")] = row[LAYOUT.cell("known")] = value
    both = samples(sheet)
    assert (both["open",], both["known",]) == (5.0, 3.0)
    sheet.give_up(2)
    one = samples(sheet)
    assert (one["open",], one["known",]) == (2.0, 2.0)


def test_a_histogram_is_cumulative_and_agrees_with_itself(sheet: Sheet) -> None:
    """The count is that of ``+Inf``, always."""
    row, at = sheet.take(0, 1, []), LAYOUT.cell("took_seconds", "x")
    for n, count in enumerate((1.0, 2.0, 4.0, 9.25)):
        row[at + n] = count
    found = samples(sheet)
    buckets = [found["took_seconds_bucket", "x", le] for le in ("0.1", "1", "+Inf")]
    assert buckets == [1.0, 3.0, 7.0]
    assert (found["took_seconds_count", "x"], found["took_seconds_sum", "x"]) == (7.0, 9.25)
    assert found["took_seconds_count", "y"] == 0.0


def test_help_and_values_are_escaped(sheet: Sheet) -> None:
    """The format's own three: backslash, line feed, and in values the quote."""
    text = page(LAYOUT, sheet).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["asked"].documentation == 'How "often"\\\nasked.'
    assert ("asked_total", 'b"\\\n') in samples(sheet)


def test_what_never_happened_is_left_out_where_most_never_does(sheet: Sheet) -> None:
    """Other counters begin at nought, so that the first step is seen as one."""
    row = sheet.take(0, 1, [])
    row[LAYOUT.cell("seldom_total", "2")] = 1.0
    found = samples(sheet)
    assert ("seldom_total", "1") not in found
    assert found["seldom_total", "2"] == 1.0
    assert found["asked_total", "a"] == 0.0
