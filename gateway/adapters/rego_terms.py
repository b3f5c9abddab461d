"""Rego's terms as text: read as OPA's Wasm writes them, and written as OPA itself does.

Both are JSON with sets and with keys of any type. OPA's own spelling has blanks after commas and
colons, is sorted, and quotes strings as Go does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from gateway.adapters.go_format import Value, quoted

_BLANK: Final = re.compile(r"\s*")
_SCALAR: Final = re.compile(r"[-+.\w]+")
_STRINGS: Final = json.JSONDecoder()
# OPA's order of types: null, booleans, numbers, strings, arrays, objects, sets.
_NULL, _BOOLEAN, _NUMBER, _STRING, _ARRAY, _OBJECT, _SET = range(7)


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """A term; ordered as OPA orders them. ``content`` is of one type for each ``kind``."""

    kind: int
    content: Any

    @property
    def elements(self) -> Sequence[Term] | None:
        """Those of an array; ``None`` for anything else."""
        return self.content if self.kind == _ARRAY else None

    @property
    def text(self) -> str | None:
        """A string's; ``None`` for anything else."""
        return self.content if self.kind == _STRING else None

    def argument(self) -> Value:
        """As OPA passes it to ``sprintf``: numbers and strings as such, all else as text."""
        if self.kind == _STRING:
            return str(self.content)
        if self.kind == _NUMBER:
            is_float = any(sign in self.content[1] for sign in ".eE")
            return float(self.content[1]) if is_float else int(self.content[1])
        return str(self)

    def __str__(self) -> str:
        if self.kind == _NULL:
            return "null"
        if self.kind == _BOOLEAN:
            return "true" if self.content else "false"
        if self.kind == _NUMBER:
            return str(self.content[1])
        if self.kind == _STRING:
            return quoted(self.content)
        return self._composite()

    def _composite(self) -> str:
        if self.kind == _ARRAY:
            return f"[{', '.join(map(str, self.content))}]"
        if self.kind == _OBJECT:
            return f"{{{', '.join(f'{key}: {value}' for key, value in self.content)}}}"
        return f"{{{', '.join(map(str, self.content))}}}" if self.content else "set()"


def read_term(text: str) -> Term:
    """Raises ``ValueError`` for what is no term."""
    term, at = _read(text, 0)
    if _skip(text, at) != len(text):
        raise ValueError("more than one term")
    return term


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _read(text: str, at: int) -> tuple[Term, int]:
    at = _skip(text, at)
    first = text[at : at + 1]
    if first == '"':
        string, end = _STRINGS.raw_decode(text, at)
        return Term(_STRING, string), end
    if first == "[":
        found, end = _read_several(text, at + 1, "]")
        return Term(_ARRAY, tuple(term for term, _ in found)), end
    if first == "{":
        return _read_braces(text, at + 1)
    if text.startswith("set()", at):
        return Term(_SET, ()), at + len("set()")
    return _read_scalar(text, at)


def _read_scalar(text: str, at: int) -> tuple[Term, int]:
    found = _SCALAR.match(text, at)
    if found is None:
        raise ValueError(f"no term at {at}")
    word = found[0]
    if word == "null":
        return Term(_NULL, 0), found.end()
    if word in ("true", "false"):
        return Term(_BOOLEAN, word == "true"), found.end()
    try:
        return Term(_NUMBER, (Decimal(word), word)), found.end()
    except InvalidOperation as exc:
        raise ValueError(f"no term at {at}") from exc


def _read_braces(text: str, at: int) -> tuple[Term, int]:
    found, end = _read_several(text, at, "}")
    if found and found[0][1] is None:
        return Term(_SET, tuple(sorted(term for term, _ in found))), end
    return Term(_OBJECT, tuple(sorted(found, key=lambda pair: pair[0]))), end


def _read_several(text: str, at: int, closing: str) -> tuple[list[tuple[Term, Term | None]], int]:
    """Terms up to ``closing``, each with the one after its colon."""
    found: list[tuple[Term, Term | None]] = []
    while text[(at := _skip(text, at)) : at + 1] != closing:
        key, at = _read(text, at)
        at, value = _skip(text, at), None
        if text[at : at + 1] == ":":
            value, at = _read(text, at + 1)
        found.append((key, value))
        at = _skip(text, at)
        if text[at : at + 1] == ",":
            at += 1
    return found, at + 1
