"""What a worker writes down, and that only listed words come of it."""

from __future__ import annotations

import pytest

from gateway.domain.stream import StreamEnd
from gateway.telemetry import catalogue as c
from gateway.telemetry.book import Book
from gateway.telemetry.catalogue import layout_for
from gateway.telemetry.sheet import Cells, Sheet

LAYOUT = layout_for([("GET", "/a"), ("POST", "/a/<id:str>")], ("1.0", "3.11"))


@pytest.fixture
def row() -> Cells:
    return Sheet().take(0, 1, [])


@pytest.fixture
def book(row: Cells) -> Book:
    return Book(LAYOUT, row)


def counted(row: Cells, name: str) -> dict[tuple[str, ...], float]:
    return {labels: row[at] for labels, at in LAYOUT.cells_of(name).items() if row[at]}


def test_a_request_counts_under_its_template(book: Book, row: Cells) -> None:
    """And its duration falls into one bucket."""
    book.request("GET", "/a", 200, 0.003)
    book.request("GET", "/a", 404, 0.3)
    assert counted(row, c.REQUESTS) == {("GET", "/a", "200"): 1.0, ("GET", "/a", "404"): 1.0}
    at = LAYOUT.cell(c.REQUEST_SECONDS, "GET", "/a")
    found = [row[at + n] for n in range(len(c.CALL_BUCKETS_S) + 2)]
    assert found[2] == found[8] == 1.0
    assert sum(found[:-1]) == 2.0
    assert found[-1] == pytest.approx(0.303)


@pytest.mark.parametrize(
    ("method", "route", "status", "labels"),
    [
        ("GET", "", 404, ("GET", c.UNMATCHED, "404")),
        ("BREW", "", 501, ("other", c.UNMATCHED, "501")),
        ("BREW", "/a", 405, ("other", c.UNMATCHED, "405")),
        ("DELETE", "/a", 405, ("DELETE", c.UNMATCHED, "405")),
        ("GET", "/a", 299, ("GET", "/a", "other")),
        ('x"} 1\nforged{a="', "/a/../b", -1, ("other", c.UNMATCHED, "other")),
    ],
)
def test_what_nobody_listed_is_other(
    book: Book, row: Cells, method: str, route: str, status: int, labels: tuple[str, ...]
) -> None:
    """A client chooses among the label sets there are; it adds none."""
    book.request(method, route, status, 0.0)
    assert counted(row, c.REQUESTS) == {labels: 1.0}


def test_an_unknown_reason_is_other(book: Book, row: Cells) -> None:
    """A new word for the log doesn't need a new series, and no word at all is no fault."""
    for reason in ("signature", "never heard of", None):
        book.auth_failure(reason)
    assert counted(row, c.AUTH_FAILURES) == {("signature",): 1.0, ("other",): 2.0}


def test_a_streams_end_counts_with_its_times(book: Book, row: Cells) -> None:
    """The gap is the mean over the stream: (10 s - 2 s) / 8."""
    book.stream_ended(StreamEnd("done", None, "nobody", 9, 900, 2.0), "done", 10.0)
    assert counted(row, c.STREAMS_ENDED) == {("done", "none", "nobody"): 1.0}
    for name, bounds, value in (
        (c.FIRST_EVENT_SECONDS, c.FIRST_EVENT_BUCKETS_S, 2.0),
        (c.GAP_SECONDS, c.GAP_BUCKETS_S, 1.0),
        (c.STREAM_SECONDS, c.STREAM_BUCKETS_S, 10.0),
    ):
        at = LAYOUT.cell(name)
        assert row[at + bounds.index(value)] == 1.0
        assert row[at + len(bounds) + 1] == value


def test_a_client_that_stalls_over_the_last_bytes_has_stalled(book: Book, row: Cells) -> None:
    """However the core's part of the stream had ended."""
    end = StreamEnd("draining", "DRAINING", "gateway", 0, 0, None)
    book.stream_ended(end, "client_stalled", 1.0)
    assert counted(row, c.STREAMS_ENDED) == {("client_stalled", "none", "client"): 1.0}


def test_decisions(book: Book, row: Cells) -> None:
    book.decision("allow", True)
    book.decision("deny", False)
    book.decision("error", False)
    assert counted(row, c.DECISIONS) == {
        ("allow", "true"): 1.0,
        ("deny", "false"): 1.0,
        ("error", "false"): 1.0,
    }


def test_a_process_that_knows_no_routes_finds_the_same_cells() -> None:
    """The one that starts the workers counts their restarts in a row that they read."""
    without = layout_for([], ("1.0", "3.11"))
    for metric in without.metrics:
        if metric.name not in (c.REQUESTS, c.REQUEST_SECONDS):
            assert without.cells_of(metric.name) == LAYOUT.cells_of(metric.name)
