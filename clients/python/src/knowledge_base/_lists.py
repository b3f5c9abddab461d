"""Answers that are a list under a name."""

from __future__ import annotations

from typing import Any, TypeVar

from knowledge_base._decode import decode
from knowledge_base.errors import ProtocolError
from knowledge_base.events import Passage
from knowledge_base.models import Key

T = TypeVar("T")


def passages(value: Any) -> tuple[Passage, ...]:
    return _listed(Passage, value, "passages")


def key_list(value: Any) -> tuple[Key, ...]:
    return _listed(Key, value, "keys")


def _listed(kind: type[T], value: Any, name: str) -> tuple[T, ...]:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, list):
        raise ProtocolError(f"The answer's {name} are no list.")
    return tuple(decode(kind, one) for one in found)
