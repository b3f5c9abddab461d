"""Versions: where they stand, and when something ends."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from gateway.domain.versions import VERSIONS, Ending, Version, version_in

SUNSET = datetime(2028, 1, 1, tzinfo=UTC).timestamp()


def test_versions_are_numbered_in_the_order_of_their_days() -> None:
    """The last one is what a new client is told to use."""
    assert [one.number for one in VERSIONS] == sorted({one.number for one in VERSIONS})
    assert [one.since for one in VERSIONS] == sorted(one.since for one in VERSIONS)
    assert VERSIONS[-1].ending is None


def test_a_version_stands_below_its_name() -> None:
    assert Version(3, since=date(2030, 1, 1)).prefix == "/api/v3"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v1/query", "v1"),
        ("/api/v12", "v12"),
        ("/api/v1x/query", None),
        ("/api", None),
        ("/mcp", None),
    ],
)
def test_a_path_names_its_version(path: str, name: str | None) -> None:
    assert version_in(path) == name


def test_an_ending_is_told_in_both_formats() -> None:
    """RFC 9745, 2.1: a date of structured fields; RFC 8594, 3: an HTTP date."""
    assert Ending(date(2027, 1, 1), date(2028, 1, 1)).fields() == (
        ("Deprecation", "@1798761600"),
        ("Sunset", "Sat, 01 Jan 2028 00:00:00 GMT"),
    )
    assert Ending(date(2027, 1, 1)).fields() == (("Deprecation", "@1798761600"),)


def test_it_is_over_from_the_first_second_of_its_day() -> None:
    ending = Ending(date(2027, 1, 1), date(2028, 1, 1))
    assert (ending.is_over(SUNSET - 1), ending.is_over(SUNSET)) == (False, True)
    assert not Ending(date(2027, 1, 1)).is_over(SUNSET)


def test_nobody_gets_less_than_a_year_of_notice() -> None:
    """A table with less cannot even be imported."""
    with pytest.raises(ValueError, match="less than the 365 days"):
        Ending(date(2027, 1, 1), date(2027, 12, 31))
