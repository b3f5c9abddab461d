"""A tool: what it is called with, what it gives, and the request of the API that it stands for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw, UnsetType
from sanic import Request

from gateway.domain.strict_json import read_json
from gateway.edge.mcp.results import RequestId
from gateway.edge.scope import Scope, scope_of

_NO_ARGUMENTS = Raw(b"{}")
# They look, and change nothing; what they look at is the caller's own knowledge base.
_ANNOTATIONS = {"readOnlyHint": True, "openWorldHint": False}


@dataclass(frozen=True, slots=True)
class Call:
    """A call that was admitted.

    Attributes:
        request: the one that it came by.
        arguments: of the tool's own type.
        id: the JSON-RPC request's.
        progress_token: what notifications about it are to name, if any are wanted.
        streams: whether the client takes an event stream for an answer.
    """

    request: Request
    arguments: Any
    id: RequestId
    progress_token: str | int | None
    streams: bool

    @property
    def scope(self) -> Scope:
        return scope_of(self.request)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool.

    Attributes:
        method, path: the request of the API that it stands for, in its newest version: its action
            is asked about, counted and logged. ``{0.name}`` in the path is an argument.
        run: gives what it found, or ``None`` where it has streamed its answer itself.
        text: what a model is told of what it found; its JSON where there is nothing better.
        hints: what its arguments are, for a model that has to make them.
    """

    name: str
    title: str
    description: str
    method: str
    path: str
    arguments: type[msgspec.Struct]
    output: type[msgspec.Struct]
    run: Callable[[Call, Any], Awaitable[msgspec.Struct | None]]
    text: Callable[[Any], str] | None = None
    hints: Mapping[str, str] = field(default_factory=dict)

    def read(self, arguments: Raw | UnsetType) -> msgspec.Struct:
        """The arguments of a call, read as strictly as a body.

        Raises:
            ValidationFailed: naming each that is wrong.
        """
        raw = _NO_ARGUMENTS if isinstance(arguments, UnsetType) else arguments
        return read_json(bytes(raw), self.arguments)

    @property
    def names_one(self) -> bool:
        """Whether its path needs an argument."""
        return "{" in self.path

    def described(self) -> dict[str, Any]:
        """As ``tools/list`` has it."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": schema_of(self.arguments, self.hints),
            "outputSchema": schema_of(self.output),
            "annotations": {"title": self.title, **_ANNOTATIONS},
        }


def schema_of(kind: type[msgspec.Struct], hints: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON Schema of an object; clients want its type at the root, and no reference there."""
    _, parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    schema = parts.pop(kind.__name__)
    for name, hint in (hints or {}).items():
        schema["properties"][name]["description"] = hint
    whole: dict[str, Any] = _in_words({**schema, "$defs": parts} if parts else schema)
    return whole


def _in_words(schema: Any) -> Any:
    """``schema`` with the docstrings of our types as texts for whoever is shown them."""
    if isinstance(schema, list):
        return [_in_words(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _in_words(value) for name, value in schema.items()}
    if isinstance(said := found.get("description"), str):
        found["description"] = " ".join(said.replace("``", "`").split())
    return found
