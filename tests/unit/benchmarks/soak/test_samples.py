"""What a page of metrics says, and a result made of samples."""

from __future__ import annotations

from benchmarks.soak import run
from benchmarks.soak.mix import Tally
from benchmarks.soak.samples import METRICS, Series, figures

PAGE = b"""HTTP/1.1 200 OK\r\n\r\n# TYPE gateway_tasks gauge
gateway_tasks 21
gateway_tasks_of_another_name 5
gateway_connections_open 3
gateway_upstream_connections{pool="core",state="open"} 9
gateway_upstream_connections{pool="core",state="in_use"} 4
gateway_upstream_connections{pool="policy",state="in_use"} 7
gateway_worker_restarts_total{cause="exit"} 1
gateway_worker_restarts_total{cause="hung"} 2
"""


def test_figures_are_the_sums_of_their_series() -> None:
    """Labels choose; other names, and other pools, do not count."""
    assert figures(PAGE) == {
        "tasks": 21,
        "connections": 3,
        "streams": 0,
        "core_in_use": 4,
        "core_open": 9,
        "restarts": 3,
        "internal_errors": 0,
    }


def series(minutes: int, growth: float) -> Series:
    made = Series()
    for number in range(minutes * 12):
        sample = dict.fromkeys((*METRICS, "pss_kib", "files", "threads"), 5.0)
        made.times_s.append(number * 5.0)
        made.samples.append({**sample, "rss_kib": 1000.0 + growth * number})
    return made


def soaked(minutes: int, growth: float = 0.0) -> run.Soaked:
    taken = series(minutes, growth)
    tally = Tally()
    tally.add("reads", 5000, {"reset": 1})
    return run.Soaked(taken.samples[0], taken.samples[-1], taken, tally, minutes * 60.0)


def test_a_result_has_the_slopes_and_a_value_a_minute() -> None:
    """And the sentence of what grew: ten KiB a sample are 7,200 an hour."""
    result = run.document(soaked(20, growth=10.0), {}, {}, hours=0.4)
    assert result["rows"][0]["rss_kib_per_h"] == 7200
    assert len(result["minutes"]["rss_kib"]) == 20
    assert result["done"] == {"reads": 5000}
    assert result["failures"] == {"reads: reset": 1}
    (fault,) = result["faults"]
    assert fault.startswith("memory (RSS), KiB: grows by 7,200 an hour")
    assert f"LEAK? {fault}" in run.printed(result)


def test_a_short_soak_says_that_it_cannot_tell() -> None:
    """Of three minutes only what is left at rest is judged."""
    result = run.document(soaked(3), {}, {}, hours=0.1)
    assert result["faults"] == []
    assert "rss_kib" in result["undecided"]
    assert "too short or too noisy to tell a slope: rss_kib" in run.printed(result)
