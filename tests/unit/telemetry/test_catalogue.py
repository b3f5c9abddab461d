"""The declarations, and which cells they get in which process."""

from __future__ import annotations

from gateway.domain.doors import DOORS
from gateway.domain.stream import ENDINGS, terminal_error
from gateway.errors import by_code
from gateway.telemetry import catalogue as c
from gateway.telemetry import stream_metrics
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.metric import NONE
from gateway.telemetry.version_metrics import DEPRECATED_REQUESTS

BUILD = ("1.0", "3.11")
LAYOUT = layout_for([("GET", "/a"), ("POST", "/a/<id:str>")], BUILD)


def test_a_process_that_knows_no_routes_finds_the_same_cells() -> None:
    """The supervisor counts restarts in a row that the workers read."""
    without = layout_for([], BUILD)
    of_routes = (c.REQUESTS, c.REQUEST_SECONDS, DEPRECATED_REQUESTS)
    for metric in without.metrics:
        if metric not in of_routes:
            assert without.cells_of(metric) == LAYOUT.cells_of(metric)


def test_other_names_of_a_process_move_only_the_metrics_made_of_names() -> None:
    """All that is the same everywhere comes first."""
    other = layout_for([], BUILD, dependencies=("brew",), pools=("tea", "milk", "water"))
    assert ("milk", "idle") in other.cells_of(c.POOL)
    assert set(other.cells_of(c.DEPENDENCY_SECONDS)) == {("brew",)}
    for metric in other.metrics:
        if not callable(metric.series):
            assert other.cells_of(metric) == LAYOUT.cells_of(metric)


def test_every_declaration_has_cells() -> None:
    """A metric declared in the catalogue needs to be listed nowhere else."""
    assert c.REQUESTS in LAYOUT.metrics
    assert len(LAYOUT.metrics) == len({metric.name for metric in c.METRICS}) == len(c.METRICS)


def test_every_ending_has_its_series() -> None:
    """With each code that it can carry: a stream's end that is not listed could not be counted."""
    listed = LAYOUT.cells_of(stream_metrics.STREAMS_ENDED)
    for outcome, ending in ENDINGS.items():
        for kind in by_code().values() if ending.given else [None]:
            error = terminal_error(outcome, kind() if kind is not None else None)
            code = error.code if error else NONE
            assert all((door, outcome.value, code, ending.by) in listed for door in DOORS)
    for left in ("client_left", stream_metrics.CLIENT_STALLED):
        assert all((door, left, NONE, "client") in listed for door in DOORS)
