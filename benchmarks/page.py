"""The tables of ``docs/benchmarks.md``, made of the committed results.

``python -m benchmarks docs`` writes them. Each stands between two comments with its
name; a table whose results are missing says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import tls as tls_scenario
from benchmarks.digest import CHECKOUT
from benchmarks.results import FOLDER
from benchmarks.soak import run as soak
from benchmarks.summary import markdown_table

PAGE = CHECKOUT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- {}: made by `python -m benchmarks docs` -->", "<!-- end of {} -->"
NONE = "–"

Result = Mapping[str, Any]


class Want(NamedTuple):
    """A column: its result file, the measurement there, the number of streams; ``by`` scales it."""

    column: str
    scenario: str
    figure: str
    streams: int
    by: float = 1.0


# What a user wants to know.
WANTED = (
    Want("CPU a relayed event, 100 streams, µs", "relay", "cpu_us_per_event", 100),
    Want("300 streams, µs", "relay", "cpu_us_per_event", 300),
    Want("latency added to an event, 100 streams, p50, µs", "relay", "added_p50_ms", 100, 1000.0),
    Want("p99, µs", "relay", "added_p99_ms", 100, 1000.0),
    Want("CPU an opened stream, µs", "storm", "open_cpu_us", 2000),
    Want("memory an open stream, KiB", "memory", "rss_kib_per_stream", 2000),
)
# The order of the rows; a system without any figure has none.
SYSTEMS = (
    *("gateway", "go-jwt-opa", "go-reverseproxy", "nginx", "haproxy", "caddy", "litellm"),
    "fastapi-httpx",
)


def renew(page: Path = PAGE, folder: Path = FOLDER) -> None:
    """Writes the tables anew."""
    page.write_text(renewed(page.read_text("utf-8"), folder), "utf-8")


def renewed(text: str, folder: Path = FOLDER) -> str:
    """The page with its tables as the results are.

    Raises:
        ValueError: the page has no place for one of them.
    """
    for name, table in TABLES.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"{begin} … {end}: not on the page")
        text = f"{before}{begin}\n{table(folder)}\n{end}{after}"
    return text


def figures(folder: Path) -> str:
    """What a user wants to know, a row a system."""
    results = {name: _read(folder, name) for name in {want.scenario for want in WANTED}}
    rows = []
    for system in SYSTEMS:
        cells = [_figure(results[want.scenario], system, want) for want in WANTED]
        if any(cell != NONE for cell in cells):
            rows.append([f"`{system}`", *cells])
    return markdown_table(["", *(want.column for want in WANTED)], rows)


def _figure(result: Result | None, system: str, want: Want) -> str:
    for row in result["summary"] if result else ():
        if (row["system"], row["streams"]) == (system, want.streams) and want.figure in row:
            return _number(row[want.figure] * want.by)
    return NONE


def soaked(folder: Path) -> str:
    """The soak's figures, with how long it was and what was done."""
    result = _read(folder, soak.SCENARIO)
    if result is None:
        return "No results."
    rows = [list(row.values()) for row in soak.shown(result)]
    table = markdown_table(
        ["", "at rest before", "at rest after", "grows an hour", "allowed"], rows
    )
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(result["done"].items()))
    minutes = result["conditions"]["measured_s"] / 60
    found = "; ".join(result["faults"]) or "nothing grew"
    failed = sum(result["failures"].values())
    return f"{table}\n\n{minutes:.0f} minutes measured: {kinds}; {failed} failed. Result: {found}."


def workers(folder: Path) -> str:
    """A row for each system and number of workers, then one for each set of cores."""
    result = _read(folder, "workers")
    if result is None:
        return "No results."
    columns = {
        "cpu_us_per_event": "CPU an event, µs",
        "open_cpu_us": "CPU an opened stream, µs",
        "most_of_fair": "busiest worker's streams, of its fair share",
        "least_of_fair": "idlest worker's",
    }
    eight = {
        "others_p50_ms": "first byte from a well core, p50, ms",
        "others_p99_ms": "p99, ms",
        "by_slow": "streams the slow core answered, of 600",
    }
    several = [row for row in result["summary"] if "cpu_us_per_event" in row]
    among = [row for row in result["summary"] if "others_p50_ms" in row]
    return f"{_by_load(several, columns)}\n\n{_by_load(among, eight)}"


SHAPE_STREAMS = (100, 300)
SHAPE_HEADS = ("µs", "of `first`", "of Go")


def shapes(folder: Path) -> str:
    """A row for each way of writing an event, and each pair of size and pace: the gateway's cost.

    In microseconds of CPU an event, as a ratio to its own first row, and to Go's for the same load.
    """
    result = _read(folder, "shapes")
    if result is None:
        return "No results."
    cells: dict[str, dict[int, list[str]]] = {}
    for row, ratio in zip(result["summary"], result["ratios"], strict=True):
        if row["system"] == "gateway" and row["streams"] in SHAPE_STREAMS:
            told = (row["cpu_us_per_event"], ratio.get("of_first"), ratio.get("of_go-reverseproxy"))
            shown = [NONE if value is None else _number(value) for value in told]
            cells.setdefault(row["load"], {})[row["streams"]] = shown
    none = [NONE] * len(SHAPE_HEADS)
    head = ["", *(f"{n} streams: {name}" for n in SHAPE_STREAMS for name in SHAPE_HEADS)]
    made = [
        [f"`{load}`", *(cell for n in SHAPE_STREAMS for cell in by_streams.get(n, none))]
        for load, by_streams in cells.items()
    ]
    return markdown_table(head, made)


def cores(folder: Path) -> str:
    """A row for each real server: what its events cost, how many streams were not relayed whole."""
    result = _read(folder, "cores")
    if result is None:
        return "No results."
    gateway = [row for row in result["ratios"] if row["system"] == "gateway"]
    of_go = {row["load"]: row.get("of_go-reverseproxy") for row in gateway}
    made = [
        [
            row["load"],
            _number(row["cpu_us_per_event"]),
            NONE if of_go[row["load"]] is None else _number(of_go[row["load"]]),
            str(row["failed"]),
        ]
        for row in result["summary"]
        if row["system"] == "gateway"
    ]
    return markdown_table(["the core", "CPU a relayed event, µs", "of Go", "failed streams"], made)


def limits(folder: Path) -> str:
    """A row for each way of counting."""
    result = _read(folder, "limits")
    if result is None:
        return "No results."
    columns = {
        "cpu_us_per_request": "CPU a document read, 32 connections, µs",
        "cpu_us_per_request_alone": "2 connections, µs",
        "open_cpu_us": "CPU an opened stream, µs",
        "leave_cpu_us": "CPU a stream that is left, µs",
        "cpu_us_per_event": "CPU a relayed event, µs",
    }
    return _by_load(result["summary"], columns)


def quotas(folder: Path) -> str:
    """A row for each way of counting."""
    result = _read(folder, "quotas")
    if result is None:
        return "No results."
    columns = {
        "cpu_us_per_answer": "CPU an answer, 32 connections, µs",
        "cpu_us_per_answer_alone": "2 connections, µs",
        "cpu_us_per_event": "CPU a relayed event, µs",
    }
    return _by_load(result["summary"], columns)


def kept(folder: Path) -> str:
    """A row for each answer: asked of the core, given again, and the ratio of the two."""
    result = _read(folder, "kept")
    if result is None:
        return "No results."
    found: dict[str, dict[str, float]] = {}
    for row in result["summary"]:
        answer, _, way = row["load"].rpartition(", ")
        found.setdefault(answer, {})[way] = row["cpu_us_per_answer"]
    made = [
        [answer, _number(of["asked"]), _number(of["hit"]), f"{of['hit'] / of['asked']:.2f}"]
        for answer, of in found.items()
    ]
    return markdown_table(["", "CPU asked of the core, µs", "CPU a hit, µs", "a hit of it"], made)


def doors(folder: Path) -> str:
    """A row for each door and number of streams, with the ratio to server-sent events."""
    return _of(folder, "doors", "sse")


def grpc(folder: Path) -> str:
    """A row for each protocol and number of streams, with the ratio to a REST core."""
    return _of(folder, "grpc", "rest")


def _of(folder: Path, scenario: str, first: str) -> str:
    result = _read(folder, scenario)
    if result is None:
        return "No results."
    found = {(row["streams"], row["load"]): row for row in result["summary"]}
    made = [
        [
            f"`{load}`, {streams} streams",
            _number(row["cpu_us_per_event"]),
            _number(row["cpu_us_per_event"] / found[streams, first]["cpu_us_per_event"]),
        ]
        for (streams, load), row in found.items()
    ]
    return markdown_table(["", "CPU a relayed event, µs", f"of `{first}`"], made)


TLS_COLUMNS = (
    ("CPU a relayed event, 100 streams, µs", 100, "cpu_us_per_event"),
    ("300 streams, µs", 300, "cpu_us_per_event"),
    ("memory an open stream, KiB", tls_scenario.HELD, "rss_kib_per_stream"),
    ("CPU an opened stream, µs", tls_scenario.HELD, "open_cpu_us"),
)


def tls(folder: Path) -> str:
    """A row for each system: plain, under TLS, and what TLS costs more."""
    result = _read(folder, "tls")
    if result is None:
        return "No results."
    found = {(row["system"], row["load"], row["streams"]): row for row in result["summary"]}
    made = []
    for system in SYSTEMS:
        cells = [_more(found, system, streams, figure) for _, streams, figure in TLS_COLUMNS]
        if any(cell != NONE for cell in cells):
            made.append([f"`{system}`", *cells])
    return markdown_table(["", *(column for column, *_ in TLS_COLUMNS)], made)


def _more(found: Mapping[Any, Mapping[str, Any]], system: str, streams: int, figure: str) -> str:
    """``20 → 23 (+3)``: plain, under TLS, the difference."""
    loads = tls_scenario.LOADS
    plain, secured = (found.get((system, load, streams), {}).get(figure) for load in loads)
    if plain is None or secured is None:
        return NONE
    sign = "+" if secured >= plain else "−"
    return f"{_number(plain)} → {_number(secured)} ({sign}{_number(abs(secured - plain))})"


def _by_load(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    made = [
        [
            f"`{row['system']}`, {row['load']}",
            *(_number(row[name]) if name in row else NONE for name in columns),
        ]
        for row in sorted(rows, key=lambda row: str(row["system"]))
    ]
    return markdown_table(["", *columns.values()], made)


TABLES: Mapping[str, Callable[[Path], str]] = {
    "figures": figures,
    "shapes": shapes,
    "cores": cores,
    "soak": soaked,
    "workers": workers,
    "limits": limits,
    "doors": doors,
    "quotas": quotas,
    "kept": kept,
    "tls": tls,
    "grpc": grpc,
}


def _read(folder: Path, scenario: str) -> Result | None:
    path = folder / f"{scenario}.json"
    if not path.exists():
        return None
    result: Result = json.loads(path.read_text("utf-8"))
    return result


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
