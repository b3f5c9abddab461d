"""Whether what was sampled says a leak: plain rules over numbers.

Two questions are asked. Did a figure grow: a line is fitted through it, and it grew when the slope
is above what is allowed by more than two standard errors. Did it come back: what is open must be
as it was before the load, once the load has gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HOUR_S = 3600.0
# Samples of one minute are made one: a process that has just taken memory keeps it for a while, so
# that samples a few seconds apart are nearly one and the same, and would make the error look small.
BLOCK_S = 60.0
# A line through fewer minutes than this says nothing.
LEAST_BLOCKS = 10
ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class Line:
    """A slope by least squares, and its standard error, both an hour."""

    slope: float
    error: float


@dataclass(frozen=True, slots=True)
class Rule:
    """What a figure may do. ``left``: how much more of it there may be at rest, afterwards."""

    figure: str
    words: str
    per_hour: float | None = None
    left: float | None = None


# Memory: 4 MiB an hour would double a gateway of two workers in a day, and is a byte in four of
# what one lost KiB a request would be under this load. RSS, not PSS, which other programs' starts
# and ends change. Descriptors and threads that may stay: the connections to the object storage and
# the threads that use them are kept, up to sixteen a worker, and made when first needed.
RULES: Sequence[Rule] = (
    Rule("rss_kib", "memory (RSS), KiB", per_hour=4096),
    Rule("files", "descriptors", per_hour=120, left=16),
    Rule("threads", "threads", per_hour=60, left=16),
    Rule("tasks", "tasks", per_hour=120, left=4),
    Rule("connections", "connections of clients", per_hour=120, left=0),
    Rule("streams", "streams", per_hour=120, left=0),
    Rule("core_in_use", "calls to the core", per_hour=120, left=0),
    Rule("restarts", "workers that died", left=0),
    Rule("internal_errors", "faults of the gateway's own", left=0),
)
# Of a thousand requests and streams so many may fail: a machine with other work is late at times.
FAILED_PER_1000 = 1.0


def blocks(
    times_s: Sequence[float], values: Sequence[float], block_s: float = BLOCK_S
) -> tuple[list[float], list[float]]:
    """The means of the samples in each ``block_s``, times and values."""
    groups: dict[int, list[tuple[float, float]]] = {}
    for at, value in zip(times_s, values, strict=True):
        groups.setdefault(int((at - times_s[0]) // block_s), []).append((at, value))
    means = [
        [sum(column) / len(group) for column in zip(*group, strict=True)]
        for group in groups.values()
    ]
    return [mean[0] for mean in means], [mean[1] for mean in means]


def fit(times_s: Sequence[float], values: Sequence[float]) -> Line | None:
    """The line through ``values``; ``None`` where they are too few."""
    n = len(times_s)
    if n < LEAST_BLOCKS:
        return None
    mid, mean = sum(times_s) / n, sum(values) / n
    spread = sum((at - mid) ** 2 for at in times_s)
    slope = sum((at - mid) * (v - mean) for at, v in zip(times_s, values, strict=True)) / spread
    off = sum((v - mean - slope * (at - mid)) ** 2 for at, v in zip(times_s, values, strict=True))
    return Line(slope * HOUR_S, math.sqrt(off / (n - 2) / spread) * HOUR_S)


def faults(
    lines: Mapping[str, Line | None], before: Mapping[str, float], after: Mapping[str, float]
) -> list[str]:
    """A sentence for every rule that was broken."""
    found = [_grown(rule, lines.get(rule.figure)) for rule in RULES]
    found += [_left(rule, before, after) for rule in RULES]
    return [sentence for sentence in found if sentence]


def undecided(lines: Mapping[str, Line | None]) -> list[str]:
    """The figures whose slope cannot be told: too few minutes, or too much noise."""
    return [
        rule.figure
        for rule in RULES
        if rule.per_hour is not None and not _is_told(lines.get(rule.figure), rule.per_hour)
    ]


def _is_told(line: Line | None, per_hour: float) -> bool:
    return line is not None and ERRORS * line.error <= per_hour


def _grown(rule: Rule, line: Line | None) -> str:
    if rule.per_hour is None or line is None or line.slope - ERRORS * line.error <= rule.per_hour:
        return ""
    return (
        f"{rule.words}: grows by {line.slope:,.0f} an hour (± {line.error:,.0f}), "
        f"{line.slope * 24:,.0f} a day; {rule.per_hour:,.0f} an hour is allowed"
    )


def _left(rule: Rule, before: Mapping[str, float], after: Mapping[str, float]) -> str:
    if rule.left is None or after[rule.figure] <= before[rule.figure] + rule.left:
        return ""
    return (
        f"{rule.words}: {before[rule.figure]:g} at rest before the load, "
        f"{after[rule.figure]:g} after it; {rule.left:g} more are allowed"
    )


def too_many_failed(done: Mapping[str, int], failed: Mapping[str, int]) -> list[str]:
    """A sentence where more than one in a thousand of what was done failed."""
    total, wrong = sum(done.values()), sum(failed.values())
    if not total:
        return ["nothing was done"]
    if wrong * 1000 <= total * FAILED_PER_1000:
        return []
    kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(failed.items()))
    return [f"{wrong} of {total} requests and streams failed: {kinds}"]
