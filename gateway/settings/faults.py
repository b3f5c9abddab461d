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
        """On one line; names and paths are the user's too, and may hold anything."""
        found = "" if self.found is None else f"found {self.found!r}, "
        return printable(f"{self.name}: {found}expected {self.expected}")


class SettingsError(Exception):
    """The settings cannot be used; ``faults`` has every fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults: list[Fault] = list(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


def shown(text: str) -> str:
    """A value without what nobody should read: passwords in URLs are hidden, long text is cut."""
    text = _USER_INFO.sub("//***@", text)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"


def printable(text: str) -> str:
    r"""``text`` with what no terminal shows as an escape: a line feed as ``\n``.

    Bytes of the environment that are not UTF-8 become half characters, which cannot be encoded: to
    print one raises.
    """
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
