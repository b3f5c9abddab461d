"""What a stream of bytes says: typed events, and then one ending."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from knowledge_base._decode import decode
from knowledge_base._sse import SseEvent, SseParser
from knowledge_base.errors import (
    AnswerIncomplete,
    KnowledgeBaseError,
    ProtocolError,
    TimedOut,
    api_error,
)
from knowledge_base.events import (
    Citation,
    Done,
    Event,
    Meta,
    Passage,
    Sources,
    Token,
    Usage,
)
from knowledge_base.models import Answer


def _sources(value: Any, data: str) -> Sources:
    if not isinstance(value, list):
        raise ProtocolError("The sources are no list.")
    return Sources(data=data, passages=tuple(decode(Passage, one) for one in value))


_READ: Mapping[str, Callable[[Any, str], Event]] = {
    "meta": lambda value, data: decode(Meta, value, data=data),
    "sources": _sources,
    "token": lambda value, data: decode(Token, value, data=data),
    "citation": lambda value, data: decode(Citation, value, data=data),
    "usage": lambda value, data: decode(Usage, value, data=data),
    "done": lambda value, data: decode(Done, value, data=data),
}


def event_of(sent: SseEvent) -> Event:
    """An event of its class; of ``Event`` itself where its name or its data is not known here.

    What ends an answer is ``Done``, whatever it says of the reason.
    """
    read = _READ.get(sent.name)
    if read is not None:
        try:
            return read(json.loads(sent.data), sent.data)
        except (ProtocolError, ValueError, RecursionError):
            if sent.name == "done":
                return Done(data=sent.data)
    return Event(name=sent.name, data=sent.data)


def error_of(data: str) -> KnowledgeBaseError:
    """What an ``error`` event says, as an exception."""
    try:
        found = json.loads(data)["error"]
        code, message = found["code"], found["message"]
        details = found.get("details") or {}
        after = details.get("retry_after_s")
        retry_after = float(after) if isinstance(after, int | float) else None
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, RecursionError):
        return ProtocolError("The answer ended with an error that says nothing.")
    return api_error(str(code), str(message), details=details, retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """What a stream may send: bytes of a line, and of an event's data."""

    line_bytes: int = 16 * 1024 * 1024
    event_bytes: int = 16 * 1024 * 1024


class AnswerReader:
    """Takes an answer's bytes and the time they came at; gives events, and at last its ending.

    A comment is a sign of life, as an event is. Bytes of a line that does not end are none.
    """

    def __init__(self, limits: StreamLimits, idle_s: float, now: float) -> None:
        self.ended = False
        self._parser = SseParser(
            line_limit_bytes=limits.line_bytes, event_limit_bytes=limits.event_bytes
        )
        self._idle_s = idle_s
        self._alive_at = now
        self._signs = self._signs_seen = 0

    def feed(self, data: bytes, now: float) -> list[Event | KnowledgeBaseError]:
        """In order; an exception, or ``Done``, is the last there is, and what follows is dropped.

        Raises:
            ProtocolError: a line or an event is too large.
            TimedOut: neither an event nor a comment has come for too long.
        """
        found: list[Event | KnowledgeBaseError] = []
        if self.ended:
            return found
        for sent in self._parser.feed(data):
            self._signs += 1
            found.append(error_of(sent.data) if sent.name == "error" else event_of(sent))
            if not isinstance(found[-1], Event) or sent.name == "done":
                self.ended = True
                return found
        self._check_alive(now)
        return found

    def _check_alive(self, now: float) -> None:
        signs = self._signs + self._parser.comments
        if signs == self._signs_seen:
            if now - self._alive_at > self._idle_s:
                raise TimedOut(f"The answer has been silent for more than {self._idle_s:g} s.")
            return
        self._signs_seen, self._alive_at = signs, now

    def finish(self) -> None:
        """The bytes are over.

        Raises:
            AnswerIncomplete: and nothing has ended the answer.
        """
        if not self.ended:
            raise AnswerIncomplete("The answer stopped without an ending.")


@dataclass(slots=True)
class Collected:
    """What was told of one answer so far."""

    text: list[str] = field(default_factory=list)
    sources: list[Passage] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    meta: Meta | None = None
    usage: Usage | None = None
    done: Done | None = None

    def take(self, event: Event) -> None:
        match event:
            case Token():
                self.text.append(event.text)
            case Citation():
                self.citations.append(event)
            case Sources():
                self.sources.extend(event.passages)
            case Usage():
                self.usage = event
            case Meta():
                self.meta = event
            case Done():
                self.done = event

    def answer(self) -> Answer:
        return Answer(
            "".join(self.text),
            tuple(self.citations),
            tuple(self.sources),
            self.usage,
            self.done.finish_reason if self.done else None,
            self.meta.query_id if self.meta else None,
            self.meta.model if self.meta else None,
        )


def whole_answer(value: Any) -> Answer:
    """The document of ``"stream": false``."""
    if not isinstance(value, dict) or not isinstance(value.get("answer"), str):
        raise ProtocolError("The answer has no text.")
    return decode(Answer, {**value, "text": value["answer"]})
