"""Schemas of what is sent: as msgspec describes them, and as strict as what reads it.

A client that makes its requests from the OpenAPI document, or checks them by it, must not find out
by a 400 what the document could have said. What JSON Schema cannot say is in ``REMAINDER``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

# ``domain.strict_json`` refuses NUL in every text.
NO_NUL = r"^[^\u0000]*$"
# The rest, in words: it stands in the document's own description.
REMAINDER = (
    "Bodies are I-JSON (RFC 7493): no key twice, no lone surrogates. Beyond what the schemas say: "
    "a filename's length is counted in bytes of UTF-8, its ending agrees with the content type, "
    "the name of a key is printable, a cursor is one that a listing gave, and in a conversation "
    "there is a message of a user, the last of which is a question: texts of 1 to 8,192 characters."
)


def strict(schema: Any) -> Any:
    """``schema`` with the rule that holds for every text: those without a rule get ``NO_NUL``."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if found.get("type") == "string" and not {"pattern", "enum", "format"} & set(found):
        found["pattern"] = NO_NUL
    return found


def narrowed(schema: Schema, by: Mapping[str, Schema]) -> Schema:
    """``schema`` with what ``by`` adds to its fields, where a value there is not null."""
    fields = {
        name: _added(field, by[name]) if name in by else field
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": fields}


def _added(field: Schema, more: Schema) -> Schema:
    if "anyOf" not in field:
        return field | more
    choices = [one if one == {"type": "null"} else one | more for one in field["anyOf"]]
    return {**field, "anyOf": choices}


def as_text(schema: Schema) -> Schema:
    """An object whose fields travel as texts, in a form or a query string: there is no null."""
    return {
        **schema,
        "properties": {name: _not_null(one) for name, one in schema["properties"].items()},
    }


def _not_null(field: Schema) -> Schema:
    choices = [one for one in field.get("anyOf", ()) if one != {"type": "null"}]
    if not choices:
        return field
    kept = {key: value for key, value in field.items() if key not in ("anyOf", "default")}
    return kept | (choices[0] if len(choices) == 1 else {"anyOf": choices})
