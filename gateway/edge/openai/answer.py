"""What an answer says, event by event, as OpenAI's clients take it: text and annotations.

A core's values are checked here as far as something is made of them. Citations wait until both the
passage and the text that they speak of have come.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, cast

from gateway.domain.core_records import passages_fault
from gateway.domain.sse import Event
from gateway.edge.openai.citations import (
    Annotation,
    CitedPassage,
    Footnotes,
    Span,
    annotation,
    cited,
)
from gateway.errors import CoreProtocolError
from gateway.flows.json_answer import Citation, Source, Usage, value_of

Piece = str | Annotation
FinishReason = Literal["stop", "length", "content_filter"]


class ChatAnswer:
    """One answer under way.

    Args:
        documents_url: what a document's own address begins with.
        footnotes: whether they are wanted.
        streamed: annotations are numbered, as the chunks of a stream have them.
        limit_bytes: of what is kept of it, beside its text.

    Attributes:
        usage: what the core counted, if it did.
        finish_reason: why it ended; ``None`` until it has, well.
    """

    __slots__ = (
        "_chars",
        "_cited",
        "_documents_url",
        "_footnotes",
        "_kept_bytes",
        "_limit_bytes",
        "_pending",
        "_sources",
        "_streamed",
        "_told",
        "finish_reason",
        "usage",
    )

    def __init__(
        self, *, documents_url: str, footnotes: bool, streamed: bool, limit_bytes: int
    ) -> None:
        self.usage: Usage | None = None
        self.finish_reason: FinishReason | None = None
        self._documents_url = documents_url
        self._footnotes = Footnotes() if footnotes else None
        self._streamed = streamed
        self._limit_bytes = limit_bytes
        self._kept_bytes = 0
        self._chars = 0
        self._told = 0
        self._sources: list[Source] = []
        self._cited: dict[int, CitedPassage] = {}
        self._pending: deque[Citation] = deque()

    @property
    def citations(self) -> list[CitedPassage]:
        """The passages that were cited, in the order in which they were."""
        return list(self._cited.values())

    def take(self, event: Event) -> list[Piece]:
        """What the event adds to the answer; one of an unknown name adds nothing.

        Raises:
            CoreProtocolError: its data is not what the contract says.
        """
        value = value_of(event.type, event.data)
        match event.type:
            case "token":
                return self.token(value.text)
            case "sources":
                self._keep(event, value)
                return self._due()
            case "citation":
                self._wait_for(event, value)
                return self._due()
            case "usage":
                self.usage = value
            case "done":
                return self._finish(value.finish_reason)
        return []

    def token(self, text: str) -> list[Piece]:
        self._chars += len(text)
        if self._footnotes is None:
            return [text, *self._due()] if self._pending else [text]
        told = self._footnotes.text(text)
        return [told, *self._due()] if told else self._due()

    def _keep(self, event: Event, sources: list[Source]) -> None:
        self._count(event)
        if passages_fault(sources, most=len(sources), document_ids=None):
            raise CoreProtocolError
        self._sources += sources

    def _wait_for(self, event: Event, citation: Citation) -> None:
        self._count(event)
        if citation.source < 0 or not 0 <= citation.start <= citation.end:
            raise CoreProtocolError
        self._pending.append(citation)

    def _count(self, event: Event) -> None:
        self._kept_bytes += len(event.data)
        if self._kept_bytes > self._limit_bytes:
            raise CoreProtocolError

    def _due(self) -> list[Piece]:
        """Of the citations that wait, those whose passage and whose text are there."""
        due: list[Piece] = []
        while self._pending:
            first = self._pending[0]
            if first.source >= len(self._sources) or first.end > self._chars:
                break
            due += self._cite(self._pending.popleft())
        return due

    def _cite(self, citation: Citation) -> list[Piece]:
        number = citation.source + 1
        passage = self._cited.get(citation.source)
        if passage is None:
            passage = cited(self._sources[citation.source], number, self._documents_url)
            self._cited[citation.source] = passage
        notes = self._footnotes
        here = Span(citation.start, citation.end)
        span = here if notes is None else notes.span(citation.start, citation.end)
        passage.spans.append(span)
        told = annotation(passage, span, self._told if self._streamed else None)
        self._told += 1
        mark = "" if notes is None else notes.mark(number, span)
        return [told, mark] if mark else [told]

    def _finish(self, reason: str) -> list[Piece]:
        if self._pending:
            # Of a passage that never came, or of text that there is not.
            raise CoreProtocolError
        known = reason in ("length", "content_filter")
        self.finish_reason = cast(FinishReason, reason) if known else "stop"
        rest = "" if self._footnotes is None else self._footnotes.rest(self._cited.values())
        return [rest] if rest else []
