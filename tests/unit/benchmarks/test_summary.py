"""Medians, ratios and tables: what is made of single measurements."""

from __future__ import annotations

from benchmarks.summary import Row, medians, order, ratios, table


def row(system: str, number: int, value: float, streams: int = 100) -> Row:
    return {"system": system, "streams": streams, "round": number, "cpu_us_per_event": value}


ROWS = [
    *(row("gateway", n, value) for n, value in enumerate((30.0, 20.0, 90.0))),
    *(row("go-reverseproxy", n, value) for n, value in enumerate((25.0, 15.0, 20.0))),
    *(row("nginx", n, value) for n, value in enumerate((15.0, 15.0, 16.0))),
]


def test_every_other_round_runs_backwards() -> None:
    """What drifts over a run favours nobody."""
    assert order(("a", "b", "c"), 0) == ["a", "b", "c"]
    assert order(("a", "b", "c"), 1) == ["c", "b", "a"]
    assert order(("a", "b", "c"), 2) == ["a", "b", "c"]


def test_the_median_round_counts() -> None:
    """One disturbed round changes nothing."""
    assert medians(ROWS)[0] == {
        "system": "gateway",
        "streams": 100,
        "rounds": 3,
        "cpu_us_per_event": 30.0,
    }


def test_sizes_are_kept_apart() -> None:
    """A hundred streams and three hundred are two figures."""
    both = medians([row("nginx", 0, 15.0), row("nginx", 0, 12.0, streams=300)])
    assert [(one["streams"], one["cpu_us_per_event"]) for one in both] == [(100, 15.0), (300, 12.0)]


def test_figures_missing_from_a_round_are_left_out_of_the_median() -> None:
    """A round that failed has no figures, and is not taken for zero."""
    failed = {"system": "nginx", "streams": 100, "round": 1, "failures": {"reset": 3}}
    assert medians([row("nginx", 0, 15.0), failed])[0]["cpu_us_per_event"] == 15.0
    assert "failures" not in medians([failed])[0]


def test_ratios_are_of_the_yardsticks_with_as_many_streams() -> None:
    """Twice Go is 2, whatever Go does with another number of streams."""
    summary = medians([*ROWS, row("go-reverseproxy", 0, 1.0, streams=300)])
    assert ratios(summary, "cpu_us_per_event")[0] == {
        "system": "gateway",
        "streams": 100,
        "of_go-reverseproxy": 1.5,
        "of_nginx": 2.0,
    }


def test_loads_are_kept_apart_and_compared_with_the_first_one() -> None:
    """A shape of an event costs so much of Go's under the same load, and of our own first one's."""
    rows = [
        {**row(system, 0, value), "load": load}
        for system, load, value in (
            *(("gateway", "first", 20.0), ("gateway", "crlf", 22.0)),
            *(("go-reverseproxy", "first", 25.0), ("go-reverseproxy", "crlf", 11.0)),
        )
    ]
    assert ratios(medians(rows), "cpu_us_per_event")[1] == {
        "system": "gateway",
        "streams": 100,
        "load": "crlf",
        "of_go-reverseproxy": 2.0,
        "of_first": 1.1,
    }


def test_a_yardstick_that_did_not_run_gives_no_ratio() -> None:
    """Nothing is divided by what is not there, nor by zero."""
    summary = medians([row("gateway", 0, 30.0), row("nginx", 0, 0.0)])
    assert ratios(summary, "cpu_us_per_event")[0] == {"system": "gateway", "streams": 100}


def test_the_table_shows_a_dash_for_what_was_not_measured() -> None:
    """Columns line up, numbers to the right."""
    shown = table(
        [{"system": "gateway", "a": 12.345, "b": 7}, {"system": "nginx", "a": 1.5}],
        ("system", "a", "b"),
    )
    assert shown.splitlines() == ["system       a  b", "gateway   12.3  7", "nginx    1.500  –"]
