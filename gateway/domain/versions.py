"""The versions of the API: where each stands, since when, and until when.

This is the one place that spells a version's path. A version is one row of ``VERSIONS``; a route
says where it is declared in which versions it stands (``Endpoint.since``, ``Endpoint.until``), and
may end before its version does. ``docs/versions.md`` says what clients are promised.

Sources: RFC 9745 (Deprecation), RFC 8594 (Sunset), RFC 5829 (successor-version).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from typing import Final

# What lists the versions, and what their paths begin with.
ROOT: Final = "/api"
# Between the day from which something is deprecated and the day of its end.
LEAST_NOTICE: Final = timedelta(days=365)

_VERSIONED = re.compile(rf"{ROOT}/(v[1-9][0-9]*)(?:/|\Z)")


@dataclass(frozen=True, slots=True)
class Ending:
    """That something will not be served for ever. Days begin at midnight in UTC.

    Attributes:
        deprecated: from this day on nobody should begin to use it.
        sunset: from this day on it is no longer served; ``None`` where that is not decided.
        successor: the path, or the template of one, of what takes its place.

    Raises:
        ValueError: there is less time between the two than clients are promised.
    """

    deprecated: date
    sunset: date | None = None
    successor: str | None = None

    def __post_init__(self) -> None:
        if self.sunset is not None and self.sunset - self.deprecated < LEAST_NOTICE:
            raise ValueError(
                f"{self.deprecated} to {self.sunset} is less than the {LEAST_NOTICE.days} days"
                " of notice that clients are promised"
            )

    def is_over(self, now: float) -> bool:
        """Whether it is no longer served, at ``now`` in Unix seconds."""
        return self.sunset is not None and now >= midnight(self.sunset).timestamp()

    def fields(self) -> tuple[tuple[str, str], ...]:
        """The header fields that tell the two days: a structured date, and an HTTP date."""
        deprecation = ("Deprecation", f"@{int(midnight(self.deprecated).timestamp())}")
        if self.sunset is None:
            return (deprecation,)
        return deprecation, ("Sunset", format_datetime(midnight(self.sunset), usegmt=True))


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the API.

    Attributes:
        number: counted from 1; only an incompatible change makes another one.
        since: the day of the release that had it first.
        ending: ``None`` as long as nobody thinks of its end.
    """

    number: int
    since: date
    ending: Ending | None = None

    @property
    def name(self) -> str:
        return f"v{self.number}"

    @property
    def prefix(self) -> str:
        """What all of its paths begin with."""
        return prefix_of(self.number)


# From the oldest to the newest; the last one is what new clients should use.
VERSIONS: Final = (Version(1, since=date(2026, 11, 23)),)


def prefix_of(number: int) -> str:
    """What all paths of a version begin with."""
    return f"{ROOT}/v{number}"


def midnight(day: date) -> datetime:
    """The beginning of ``day``."""
    return datetime.combine(day, time(), UTC)


def version_in(path: str) -> str | None:
    """The name of the version in a path or a template: ``v1``; ``None`` where there is none."""
    found = _VERSIONED.match(path)
    return found[1] if found else None
