"""The faults of the settings, reported all at once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_USER_INFO = re.compile(r"//[^/@\s]*@")
_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``found`` is ``None`` when there was nothing, or when it may be a secret."""

    name: str
    found: str | None
    expected: str

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.name}: expected {self.expected}"
        return f"{self.name}: found {self.found!r}, expected {self.expected}"


class SettingsError(Exception):
    """The settings cannot be used; ``faults`` has every fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults: list[Fault] = list(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def shown(text: str) -> str:
    """A value that is safe to print: passwords in URLs are hidden, and long text is cut."""
    text = _USER_INFO.sub("//***@", text)
    # What no terminal shows, half characters of a foreign encoding above all, cannot be printed.
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
