"""Summaries of single measurements: medians over rounds, ratios, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

Row = dict[str, Any]
# The columns that identify a row; all others are measurements.
KEYS = ("system", "streams", "load", "round")
# What a row's figures are compared by: other systems under the same load.
_GROUP = ("system", "streams", "load")
YARDSTICKS = ("go-reverseproxy", "nginx")
# The load that a system's other loads are compared with.
FIRST_LOAD = "first"


def order(names: Sequence[str], round_number: int) -> list[str]:
    """Forwards and backwards by turns, so that slow changes (heat, caches) favour no system."""
    return list(names) if round_number % 2 == 0 else list(reversed(names))


def medians(rows: Iterable[Row]) -> list[Row]:
    """One row for each system, number of streams and load, with every measurement's median."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in _GROUP), []).append(row)
    return [
        {**_identity(group[0]), "rounds": len(group), **_medians_of(group)}
        for group in groups.values()
    ]


def _identity(row: Row) -> Row:
    return {name: row[name] for name in _GROUP if name in row}


def _medians_of(group: Sequence[Row]) -> Row:
    names = {name: None for row in group for name in row if name not in KEYS}
    found: Row = {}
    for name in names:
        values = [row[name] for row in group if _is_number(row.get(name))]
        if values:
            found[name] = median(values)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def ratios(summary: Sequence[Row], column: str) -> list[Row]:
    """Every system's ``column`` divided by each yardstick's, under the same load.

    ``of_first`` is the same system's under the first load, where there are several.
    """
    found: list[Row] = []
    for row in summary:
        ratio = _identity(row)
        others = {f"of_{name}": {**ratio, "system": name} for name in YARDSTICKS}
        if "load" in ratio:
            others["of_first"] = {**ratio, "load": FIRST_LOAD}
        for name, identity in others.items():
            base = next((r for r in summary if _identity(r) == identity), None)
            if base and _is_number(row.get(column)) and base.get(column):
                ratio[name] = round(row[column] / base[column], 3)
        found.append(ratio)
    return found


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Plain text with numbers aligned right; a missing value is a dash."""
    cells = [list(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
    return str(value)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The same for a page of the documentation."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
