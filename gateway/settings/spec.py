"""The definition of a setting, kept in the metadata of its dataclass field."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.settings.parsers import Parser

PREFIX = "GATEWAY_"
FILE_SUFFIX = "_FILE"


@dataclass(frozen=True, slots=True)
class Spec:
    """One setting's definition.

    ``default`` is written as a user would write it: ``None`` means unset, ``""`` an empty list.
    ``same_as`` names the attribute whose value is used when the setting is absent.
    ``table``: in a TOML file it may be one, whose lines are joined as "key value".
    ``example`` is shown in ``.env.example`` when there is no default.
    """

    group: str
    parser: Parser
    default: str | None
    doc: str
    env: str | None = None
    secret: bool = False
    required: bool = False
    same_as: str | None = None
    table: bool = False
    example: str = ""


def group(title: str) -> Callable[..., Any]:
    """Returns a function that makes dataclass fields; generated pages list them under ``title``."""

    def setting(parser: Parser, default: str | None, doc: str, **rest: Any) -> Any:
        spec = Spec(title, parser, default, doc, **rest)
        metadata = {"spec": spec}
        if spec.required:
            return dataclasses.field(metadata=metadata)
        return dataclasses.field(default=_value_of(spec), metadata=metadata)

    return setting


def _value_of(spec: Spec) -> Any:
    if spec.default == "":
        return ()
    return None if spec.default is None else spec.parser.parse(spec.default)


def specs_of(cls: type[Any]) -> dict[str, Spec]:
    """Attribute → definition, in the order of declaration, with ``env`` filled in.

    What ``cls`` inherits comes after what it declares itself.
    """
    inherited = [
        field for field in dataclasses.fields(cls) if field.name not in cls.__annotations__
    ]
    own = [field for field in dataclasses.fields(cls) if field not in inherited]
    return {
        field.name: dataclasses.replace(
            field.metadata["spec"],
            env=field.metadata["spec"].env or PREFIX + field.name.upper(),
        )
        for field in own + inherited
    }
