"""What reading a file gives: its pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """The text of one page, numbered from 1; a format without pages has one, numbered None."""

    number: int | None
    text: str
