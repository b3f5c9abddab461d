"""What people see at a terminal, and what programs read from a pipe.

At a terminal there are tables; in a pipe lines with tabs between their fields, without a head.
Where ``--json`` is given, each thing is one line of JSON. What documents say is shown without
control characters at a terminal: they could make it do things.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Any, TextIO

_KEPT = frozenset("\n\t")


def is_terminal(stream: TextIO) -> bool:
    return stream.isatty()


def harmless(text: str) -> str:
    """Without control characters but line feeds and tabs, and without marks of direction."""
    if text.isprintable():
        return text
    return "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in ("Cc", "Cs"))


def shown(text: str, stream: TextIO | None = None) -> str:
    """For this stream: as it is in a pipe, harmless at a terminal."""
    return harmless(text) if is_terminal(stream or sys.stdout) else text


def one_line(value: Any) -> str:
    """A field of a line: without what would end it."""
    return " ".join(plain(value).split())


def plain(value: Any) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone().isoformat(" ", "seconds")
        case list() | tuple():
            return ", ".join(plain(one) for one in value)
    return str(value)


def as_json(value: Any) -> str:
    """One line of JSON. Times are RFC 3339.

    Letters that stdout could not spell are escaped as JSON has it: its own escapes are Python's.
    """
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, ensure_ascii=not is_utf8, default=_json_default)


def _json_default(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else asdict(value)


def say(text: str) -> None:
    """To people, on stderr: not what was asked for."""
    print(shown(text, sys.stderr), file=sys.stderr, flush=True)


def size(count: int | None) -> str:
    """Bytes for people."""
    if count is None:
        return ""
    amount, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):  # the last one is used below
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def rows(heads: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """A table at a terminal, else lines with tabs; each line goes out as it is known."""
    if is_terminal(sys.stdout):
        table(heads, lines)
        return
    for line in lines:
        print("\t".join(one_line(field) for field in line), flush=True)


def table(heads: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        found.add_column(head, overflow="fold")
    for line in lines:
        found.add_row(*(Text(harmless(one_line(field))) for field in line))
    Console(highlight=False).print(found)


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """``name: value``, one a line; what is not there is left out."""
    for name, value in pairs:
        if value not in (None, "", ()):
            print(f"{name}: {shown(plain(value))}")
