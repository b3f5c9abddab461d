"""A leak is told from noise, and from what is only taken once."""

from __future__ import annotations

import random

import pytest

from benchmarks.soak import verdict
from benchmarks.soak.verdict import Line, blocks, faults, fit, too_many_failed, undecided

MINUTES = [60.0 * minute for minute in range(30)]
CALM = {rule.figure: Line(0.0, 1.0) for rule in verdict.RULES}
REST = {rule.figure: 10.0 for rule in verdict.RULES}


def noise(sigma: float) -> list[float]:
    source = random.Random(7)
    return [source.gauss(0.0, sigma) for _ in MINUTES]


def test_a_line_has_its_slope_an_hour_and_no_error() -> None:
    """Ten a minute are six hundred an hour."""
    line = fit(MINUTES, [100.0 + 10.0 * minute for minute in range(30)])
    assert line is not None
    assert line.slope == pytest.approx(600.0)
    assert line.error == pytest.approx(0.0, abs=1e-6)


def test_the_error_is_the_textbooks() -> None:
    """Against the figures of a worked example: y = 0, 1, 0, 1, … over 0 to 9 seconds."""
    line = fit([float(n) for n in range(10)], [float(n % 2) for n in range(10)])
    assert line is not None
    # slope 1/33; residual sum of squares 2.5 - (2.5/82.5)² · 82.5.
    assert line.slope / 3600 == pytest.approx(1 / 33)
    assert line.error / 3600 == pytest.approx(((2.5 - 2.5**2 / 82.5) / 8 / 82.5) ** 0.5)


def test_few_minutes_make_no_line() -> None:
    """Two points always lie on one."""
    assert fit(MINUTES[:9], [0.0] * 9) is None


def test_samples_of_a_minute_are_one() -> None:
    """Their means, of times and of values; an empty minute is left out."""
    times, values = blocks([10.0, 40.0, 80.0, 200.0], [1.0, 3.0, 5.0, 9.0])
    assert times == [25.0, 80.0, 200.0]
    assert values == [2.0, 5.0, 9.0]


@pytest.mark.parametrize(
    ("per_hour", "is_leak"), [(0.0, False), (2000.0, False), (9000.0, True), (-9000.0, False)]
)
def test_memory_that_grows_beyond_the_noise_is_a_leak(per_hour: float, is_leak: bool) -> None:
    """Half an hour of memory that jumps by half a MiB tells 9 MiB an hour from 2."""
    grown = [per_hour * at / 3600 for at in MINUTES]
    line = fit(MINUTES, [a + b for a, b in zip(grown, noise(500.0), strict=True)])
    found = faults({**CALM, "rss_kib": line}, REST, REST)
    assert bool(found) is is_leak
    assert all("memory (RSS), KiB: grows by" in sentence for sentence in found)


def test_noise_alone_is_no_leak_and_is_told() -> None:
    """A slope within its error is not believed, nor passed over in silence."""
    lines = {**CALM, "rss_kib": Line(9000.0, 4000.0), "tasks": None}
    assert faults(lines, REST, REST) == []
    assert undecided(lines) == ["rss_kib", "tasks"]


@pytest.mark.parametrize("figure", ["files", "tasks", "connections", "core_in_use", "restarts"])
def test_what_does_not_come_back_is_a_leak(figure: str) -> None:
    """At rest there is as much open as before, whatever the slope says."""
    allowed = next(rule.left for rule in verdict.RULES if rule.figure == figure)
    assert allowed is not None
    assert faults(CALM, REST, {**REST, figure: 10.0 + allowed}) == []
    (found,) = faults(CALM, REST, {**REST, figure: 11.0 + allowed})
    assert f"10 at rest before the load, {11 + allowed:g} after it" in found


def test_failures_are_counted_against_what_was_done() -> None:
    """One in a thousand may fail; nothing done is a failure too."""
    assert too_many_failed({"reads": 1000}, {"reads: reset": 1}) == []
    assert too_many_failed({"reads": 999}, {"reads: reset": 1}) == [
        "1 of 999 requests and streams failed: reads: reset 1"
    ]
    assert too_many_failed({}, {}) == ["nothing was done"]
