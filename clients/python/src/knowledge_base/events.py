"""What an answer is told in, one after the other; the last one of a whole answer is ``Done``.

``name`` and ``data`` are what was sent, ``data`` as the text it came as.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Not read from an event's own data.
_SENT = {"json": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event. One of no class below has a name, or data, that this version does not know."""

    name: str = field(metadata=_SENT)
    data: str = field(default="", repr=False, compare=False, metadata=_SENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta(Event):
    """Which question this is, and which model answers."""

    name: str = field(default="meta", repr=False, metadata=_SENT)
    query_id: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A passage of a document; ``score`` is comparable within one answer only, larger is better.

    ``page`` counts from 1; ``section`` is the headings it stands under, outermost first.
    ``truncated`` tells that ``text`` is only its beginning.
    """

    document_id: str
    filename: str
    chunk_id: str
    score: float
    text: str
    page: int | None = None
    section: tuple[str, ...] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources(Event):
    """What the answer draws on; citations name them by their place here, from 0."""

    name: str = field(default="sources", repr=False, metadata=_SENT)
    passages: tuple[Passage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token(Event):
    """A piece of the answer's text."""

    name: str = field(default="token", repr=False, metadata=_SENT)
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation(Event):
    """Source number ``source`` carries the answer's characters ``start`` to ``end``."""

    name: str = field(default="citation", repr=False, metadata=_SENT)
    source: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(Event):
    """What the answer cost."""

    name: str = field(default="usage", repr=False, metadata=_SENT)
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Event):
    """The one mark of a whole answer."""

    name: str = field(default="done", repr=False, metadata=_SENT)
    finish_reason: str | None = None
