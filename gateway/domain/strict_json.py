"""JSON and form bodies read strictly: what is ambiguous or unknown is refused, field by field.

``json`` from the standard library rather than ujson or msgspec does the reading, because only it
lets us see duplicate keys and refuse NaN; bodies are small (1 MiB at most). msgspec then checks the
shape against the same types the OpenAPI document is made from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn, TypeVar

import msgspec

from gateway.errors import ValidationFailed

T = TypeVar("T", bound=msgspec.Struct)

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_AT = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`\Z")
MAX_DEPTH = 32
_EXACT_INTEGERS = 2**53
# Reading strictly costs up to 1 µs a byte on the event loop. A longer body must fit its type first.
LONG_BODY_BYTES = 8 * 1024
# An error names so many unknown fields, and so much of a name, at most.
UNKNOWN_FIELDS_NAMED = 20
_NAME_SHOWN_CHARS = 64


class _Refused(ValueError):
    """Raised inside the JSON reader's hooks; its text goes to the client."""


def read_json(body: bytes, shape: type[T]) -> T:
    """One JSON text as a ``shape``, read strictly.

    A long body is first checked against the shape by msgspec, which stops at the first value that
    does not fit: a megabyte of small objects is refused in microseconds instead of built. Only what
    passes is then read strictly, and no shape here allows much structure.

    Raises:
        ValidationFailed: as ``decode_json`` and ``convert``; of a long body the first fault only.
    """
    if len(body) > LONG_BODY_BYTES:
        _check_shape(body, shape)
    return convert(decode_json(body), shape)


def _check_shape(body: bytes, shape: type[msgspec.Struct]) -> None:
    try:
        # Not strictly: else 17.0 would be no integer here. What is strict comes after.
        msgspec.json.decode(body, type=shape, strict=False)
    except msgspec.ValidationError as exc:
        path, expected = _explain(str(exc))
        name = path.removeprefix(".")[:_NAME_SHOWN_CHARS] or "?"
        raise ValidationFailed(fields={name: expected[: 2 * _NAME_SHOWN_CHARS]}) from exc
    except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
        raise ValidationFailed("The body is not valid JSON.") from exc


def decode_json(body: bytes) -> Any:
    """Reads one JSON text.

    Raises:
        ValidationFailed: not UTF-8, not JSON, NaN or Infinity, a key twice in one object, a lone
            surrogate, numbers of absurd length, or nesting deeper than ``MAX_DEPTH``.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValidationFailed("The body is not valid UTF-8.") from exc
    try:
        value = _DECODER.decode(text)
    except _Refused as exc:
        raise ValidationFailed(f"The body is not acceptable JSON: {exc}") from exc
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno}, column {exc.colno}"
        raise ValidationFailed(f"The body is not valid JSON ({where}).") from exc
    except (ValueError, RecursionError) as exc:
        raise ValidationFailed("The body is not acceptable JSON.") from exc
    _check_tree(value)
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Refused("a key appears twice in one object.")
    return found


def _number(text: str) -> float | int:
    """An integer where its value is one: to JSON Schema, and so to OpenAPI, 17.0 is 17.

    Beyond 2**53 a float no longer says which integer was meant (RFC 8259, 6).
    """
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= _EXACT_INTEGERS else value


def _no_constant(name: str) -> NoReturn:
    raise _Refused(f"{name} is not a JSON number.")


# Made once: ``json.loads`` makes one for each text.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_float=_number, parse_constant=_no_constant
)


def _check_tree(value: Any) -> None:
    """Depth and surrogates, without recursion: the client chooses the nesting."""
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        node, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ValidationFailed(f"The body is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(node, str):
            check_text(node)
        elif isinstance(node, dict):
            for key in node:
                check_text(key)
            pending.extend((child, depth + 1) for child in node.values())
        elif isinstance(node, list):
            pending.extend((child, depth + 1) for child in node)


def check_text(text: str) -> None:
    """Refuses what cannot be stored or sent on as UTF-8, and NUL, which no name or text needs."""
    if _LONE_SURROGATE.search(text):
        raise ValidationFailed("The body holds a lone surrogate, which is no character.")
    if "\0" in text:
        raise ValidationFailed("The body holds a NUL character.")


def convert(value: Any, shape: type[T], *, prefix: str = "", strict: bool = True) -> T:
    """``value`` as a ``shape``; every fault is named, not only the first.

    Args:
        prefix: put before each field's name in the error (``"?"`` for query parameters).
        strict: ``False`` lets strings stand for numbers: forms and query strings have only those.

    Raises:
        ValidationFailed: with one entry in ``details.fields`` for each faulty field.
    """
    if not isinstance(value, Mapping):
        raise ValidationFailed("The body must be a JSON object.")
    try:
        return msgspec.convert(value, shape, strict=strict)
    except msgspec.ValidationError as exc:
        faults = _field_faults(value, shape, prefix, strict) or {f"{prefix}?": str(exc)}
        raise ValidationFailed(fields=faults) from exc


def _field_faults(
    value: Mapping[str, Any], shape: type[msgspec.Struct], prefix: str, strict: bool
) -> dict[str, str]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    unknown = islice((name for name in value if name not in fields), UNKNOWN_FIELDS_NAMED)
    faults = {f"{prefix}{name[:_NAME_SHOWN_CHARS]}": "is not a known field" for name in unknown}
    for name, field in fields.items():
        if name not in value:
            if field.required:
                faults[prefix + name] = "is required"
            continue
        try:
            msgspec.convert(value[name], field.type, strict=strict)
        except msgspec.ValidationError as exc:
            path, expected = _explain(str(exc))
            faults[f"{prefix}{name}{path}"] = expected
    return faults


def _explain(text: str) -> tuple[str, str]:
    """msgspec's ``Expected `int`, got `str` - at `$[0].a``` as a path and a sentence's tail."""
    found = _AT.search(text)
    path = found["path"] if found else ""
    plain = _AT.sub("", text).replace("`", "").strip()
    return (path if not path or path.startswith("[") else f".{path}"), plain[:1].lower() + plain[1:]


def convert_pairs(pairs: Sequence[tuple[str, str]], shape: type[T], *, prefix: str = "") -> T:
    """Form fields or query parameters as a ``shape``; one given twice is a fault of its own."""
    names = [name for name, _ in pairs]
    twice = {f"{prefix}{name}": "is given twice" for name in names if names.count(name) > 1}
    if twice:
        raise ValidationFailed(fields=twice)
    for _, text in pairs:
        check_text(text)
    found = convert(dict(pairs), shape, prefix=prefix, strict=False)
    # To msgspec the text "null" may be one; a form or a query string leaves out what it has not.
    # A shape that lets others pass has no attribute for them.
    nulls = [name for name in names if getattr(found, name, name) is None]
    if nulls:
        raise ValidationFailed(fields={f"{prefix}{name}": "is a text, not null" for name in nulls})
    return found
