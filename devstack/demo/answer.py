"""A streamed answer: text with citation marks, and the cited passages."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.sse import Event

PASSAGE_CHARS = 240


@dataclass(frozen=True, slots=True)
class Cited:
    """A passage that an answer cites. ``page`` is ``None`` for a file without pages."""

    number: int
    filename: str
    page: int | None
    passage: str

    def __str__(self) -> str:
        where = self.filename if self.page is None else f"{self.filename}, p. {self.page}"
        return f'[{self.number}] {where}: "{self.passage}"'


@dataclass(slots=True)
class Answer:
    """Takes the events of a query; gives the text to print for each, and at the end its sources.

    ``finish_reason`` is ``None`` until ``done`` has come.
    """

    text: str = ""
    finish_reason: str | None = None
    _sources: list[dict[str, Any]] = field(default_factory=list)
    _quoted: dict[int, str] = field(default_factory=dict)

    def take(self, event: Event) -> str:
        """What of this event is to be written: a token, a mark, or nothing."""
        data = json.loads(event.data)
        match event.type:
            case "sources":
                self._sources = data
            case "token":
                self.text += data["text"]
                return str(data["text"])
            case "citation":
                return self._cite(data["source"], self.text[data["start"] : data["end"]])
            case "done":
                self.finish_reason = data["finish_reason"]
        return ""

    def _cite(self, source: int, quoted: str) -> str:
        self._quoted.setdefault(source, quoted)
        return f" [{list(self._quoted).index(source) + 1}]"

    def citations(self) -> list[Cited]:
        """The cited passages in the order in which they were first cited."""
        return [
            Cited(
                number,
                self._sources[source]["filename"],
                self._sources[source].get("page"),
                excerpt(self._sources[source]["text"], quoted),
            )
            for number, (source, quoted) in enumerate(self._quoted.items(), start=1)
        ]


def excerpt(passage: str, quoted: str, chars: int = PASSAGE_CHARS) -> str:
    """About ``chars`` characters of ``passage`` with ``quoted`` in them, cut between words."""
    text, wanted = " ".join(passage.split()), " ".join(quoted.split())
    if len(text) <= chars:
        return text
    at = max(text.find(wanted), 0)
    # A little of the text before the quotation; the rest of the space for what follows it.
    start = max(0, min(at - max(0, chars - len(wanted)) // 2, len(text) - chars))
    end = min(len(text), max(start + chars, at + min(len(wanted), chars)))
    if start:
        start = text.find(" ", start) + 1 or start
    if end < len(text):
        end = text.rfind(" ", start, end) if text.rfind(" ", start, end) > start else end
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
