"""JSON to the frozen values of ``models`` and ``events``, by their annotations."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from knowledge_base.errors import ProtocolError

T = TypeVar("T")
_MISSING = dataclasses.MISSING


def decode(kind: type[T], value: Any, **given: Any) -> T:
    """``value`` as a ``kind``, a dataclass; ``given`` are fields that are not in it.

    Raises:
        ProtocolError: it is something else. The message names the field, and no value.
    """
    found: T = _dataclass(kind, value, kind.__name__, given)
    return found


@cache
def _fields(kind: type) -> tuple[tuple[str, Any, bool], ...]:
    """Name, type and whether it must be there, of each field that JSON has."""
    hints = get_type_hints(kind)
    return tuple(
        (one.name, hints[one.name], one.default is _MISSING and one.default_factory is _MISSING)
        for one in dataclasses.fields(kind)
        if one.metadata.get("json", True)
    )


def _dataclass(kind: type, value: Any, where: str, given: Mapping[str, Any]) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where)
    found = dict(given)
    for name, hint, required in _fields(kind):
        if name in value:
            found[name] = _value(hint, value[name], f"{where}.{name}")
        elif required and name not in given:
            raise _wrong(f"{where}.{name}")
    return kind(**found)


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _optional(hint, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _wrong(where)
        return tuple(_value(get_args(hint)[0], one, where) for one in value)
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _wrong(where)
        return {name: _value(get_args(hint)[1], one, where) for name, one in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint, value, where, {})
    return _scalar(hint, value, where)


def _optional(hint: Any, value: Any, where: str) -> Any:
    """Unions are of one type and ``None``."""
    if value is None:
        return None
    (inner,) = (one for one in get_args(hint) if one is not type(None))
    return _value(inner, value, where)


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is datetime:
        return _time(value, where)
    if hint is float and type(value) is int:
        return _float(value, where)
    # ``True`` is an int to Python, and none to JSON.
    if type(value) is not hint:
        raise _wrong(where)
    return value


def _float(value: int, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _wrong(where) from None


def _time(value: Any, where: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _wrong(where) from None


def _wrong(where: str) -> ProtocolError:
    return ProtocolError(f"The answer's {where} is not what it has to be.")
