"""The demo's output: lines, a table, a progress bar, an answer as it streams.

On a terminal with a little colour and a bar that moves; elsewhere plain lines that a log can keep.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

from devstack.parts import PartInfo

BOLD, DIM, RED, GREEN, YELLOW, BLUE = "1", "2", "31", "32", "33", "34"
_BAR_CELLS = 30
# Control characters of a document or a message must not drive the terminal; tab and newline may.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Screen:
    """Writes to ``out``; never more than one part of the demo at a time."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.is_terminal = self._out.isatty()
        self._colours = self.is_terminal and "NO_COLOR" not in os.environ

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text

    def line(self, text: str = "") -> None:
        print(text, file=self._out, flush=True)

    def head(self, text: str) -> None:
        self.line(f"\n{self.paint(text, BOLD)}")

    def step(self, text: str) -> None:
        """Something the stack did: a line in the background."""
        self.line(self.paint(f"  {text}", DIM))

    def write(self, text: str) -> None:
        """Text as it is, with no line end, at once."""
        self._out.write(text)
        self._out.flush()

    def table(self, parts: Sequence[PartInfo]) -> None:
        """What runs as which part, real or embedded, in which version, where."""
        rows = [("", "program", "", "version", "address")]
        rows += [(p.name, p.product, p.kind, p.version, p.address or "–") for p in parts]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            text = "  ".join([*cells, row[4]]).rstrip()
            self.line(f"  {self._tint(text, row[2])}")
        for part in parts:
            if part.kind == "embedded":
                self.line(self.paint(f"  {part.name}: {part.product} {part.note}", YELLOW))

    def _tint(self, text: str, kind: str) -> str:
        return self.paint(text, {"embedded": YELLOW, "real": GREEN}.get(kind, DIM))

    def wrapped(self, text: str, indent: str) -> None:
        """A paragraph at 96 columns; what follows the first line is indented."""
        self.line(textwrap.fill(clean(text), 96, subsequent_indent=indent, break_long_words=False))


def clean(text: str) -> str:
    """Foreign text without what could drive a terminal."""
    return _CONTROL.sub("\ufffd", text)


class Progress:
    """A bar for bytes: redrawn on a terminal, a line at each quarter elsewhere."""

    def __init__(self, screen: Screen, label: str, total_bytes: int) -> None:
        self._screen = screen
        self._label = clean(label)
        self._total = max(total_bytes, 1)
        self._done = 0
        self._shown = -1

    def advance(self, count: int) -> None:
        """``count`` further bytes went out; a negative count takes some back."""
        self._done = max(0, self._done + count)
        percent = min(100, self._done * 100 // self._total)
        shown = percent if self._screen.is_terminal else percent // 25
        if shown != self._shown:
            self._shown = shown
            self._draw(percent)

    def _draw(self, percent: int) -> None:
        filled = percent * _BAR_CELLS // 100
        bar = "█" * filled + "░" * (_BAR_CELLS - filled)
        text = f"  {self._label} {bar} {percent:3d}% of {size(self._total)}"
        if self._screen.is_terminal:
            end = "\n" if percent == 100 else ""
            self._screen.write(f"\r\x1b[K{text}{end}")
        else:
            self._screen.line(text)


def size(count: int) -> str:
    """Bytes for people: ``"1.4 MiB"``."""
    if count < 1024:
        return f"{count} B"
    value, unit = count / 1024, "KiB"
    for bigger in ("MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, bigger
    return f"{value:.1f} {unit}"
