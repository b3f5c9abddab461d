"""From a question to the events of its answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Set
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from devstack.core import event_lines
from devstack.core.answering.extract import Citation, Token, extract, pieces
from devstack.core.answering.outline import is_named, outline, summary_of
from devstack.core.documents import Owner
from devstack.core.errors import InvalidRequest
from devstack.core.finding.earlier import left_out
from devstack.core.finding.wanted import content_words, question_terms
from devstack.core.finding.words import words
from devstack.core.index import Hit, IndexReader
from devstack.core.registry import Registry

T = TypeVar("T")

LONGEST_QUERY = 8_192
MOST_SOURCES = 50
DEFAULT_SOURCES = 6
MOST_DOCUMENT_IDS = 100
MOST_MESSAGES = 50
MESSAGES_LIMIT_BYTES = 64 * 1024
ROLES = ("system", "user", "assistant")
EXTRACTIVE = "extractive"

_CONVERSATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_SEARCH_FIELDS = frozenset({"query", "top_k", "document_ids"})
_FIELDS = _SEARCH_FIELDS | {"conversation_id", "messages"}


@dataclass(frozen=True, slots=True)
class Question:
    """A checked question; ``document_ids`` None means all of the owner's.

    ``earlier`` are the questions before it in the same conversation, the oldest first.
    """

    query: str
    top_k: int
    document_ids: tuple[str, ...] | None
    conversation_id: str | None
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event: its name, and data that becomes one line of JSON."""

    name: str
    data: Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the answer's writer counts them."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The last part of an answer: why the writer stopped."""

    reason: str


Part = Token | Citation | Usage | Finished


class Writer(Protocol):
    """Writes an answer from sources: tokens and citations, then a usage, then why it stopped."""

    model: str

    def write(self, question: str, terms: str, hits: list[Hit]) -> AsyncGenerator[Part, None]: ...


def parse_search(body: Any) -> Question:
    """What passages are searched for, out of a request's JSON; it belongs to no conversation.

    Raises:
        InvalidRequest: with ``fields`` naming what is wrong with each field.
    """
    return parse_question(body, _SEARCH_FIELDS)


def parse_question(body: Any, fields: Set[str] = _FIELDS) -> Question:
    """A question out of a request's JSON.

    Raises:
        InvalidRequest: with ``fields`` naming what is wrong with each field.
    """
    if not isinstance(body, Mapping):
        raise InvalidRequest("The body is not a JSON object.")
    faults = {str(name): "unknown field" for name in body.keys() - fields}
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "query": (_is_query, f"a text of 1 to {LONGEST_QUERY} characters"),
        "top_k": (_is_top_k, f"a whole number from 1 to {MOST_SOURCES}"),
        "document_ids": (_is_ids, f"a list of at most {MOST_DOCUMENT_IDS} texts"),
        "conversation_id": (_is_conversation_id, "1 to 128 of A-Z a-z 0-9 . _ : -"),
        "messages": (
            _are_messages,
            f"at most {MOST_MESSAGES} of role ({', '.join(ROLES)}) and content, a text,"
            f" with {MESSAGES_LIMIT_BYTES} bytes of content together",
        ),
    }
    for name, (check, expected) in checks.items():
        missing = body.get(name) is None
        if (missing and name == "query") or not (missing or check(body[name])):
            faults[name] = f"expected {expected}"
    if faults:
        raise InvalidRequest(fields=faults)
    ids = body.get("document_ids")
    return Question(
        query=body["query"],
        top_k=body.get("top_k") or DEFAULT_SOURCES,
        document_ids=None if ids is None else tuple(ids),
        conversation_id=body.get("conversation_id"),
        earlier=tuple(
            message["content"]
            for message in body.get("messages") or ()
            if message["role"] == "user"
        ),
    )


def _is_query(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > LONGEST_QUERY or not value.strip():
        return False
    return _is_utf8(value)


def _is_utf8(text: str) -> bool:
    """JSON can spell half a surrogate pair, which no UTF-8 can."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_top_k(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_SOURCES


def _is_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_DOCUMENT_IDS
        and all(isinstance(entry, str) for entry in value)
    )


def _is_conversation_id(value: Any) -> bool:
    return isinstance(value, str) and _CONVERSATION_ID.fullmatch(value) is not None


def _are_messages(value: Any) -> bool:
    if not isinstance(value, list) or len(value) > MOST_MESSAGES:
        return False
    if not all(_is_message(entry) for entry in value):
        return False
    return sum(len(entry["content"].encode()) for entry in value) <= MESSAGES_LIMIT_BYTES


def _is_message(value: Any) -> bool:
    if not isinstance(value, Mapping) or value.keys() != {"role", "content"}:
        return False
    content = value["content"]
    return value["role"] in ROLES and isinstance(content, str) and _is_utf8(content)


class Questions:
    """Answers questions: finds passages on threads of its own, has a writer write."""

    def __init__(
        self,
        registry: Registry,
        reader: IndexReader,
        writer: Writer,
        threads: Executor,
        line_limit_bytes: int = event_lines.DEFAULT_LIMIT_BYTES,
    ) -> None:
        self._registry = registry
        self._reader = reader
        self._writer = writer
        self._threads = threads
        self._line_limit_bytes = line_limit_bytes

    async def answer(self, owner: Owner, question: Question) -> AsyncGenerator[Event, None]:
        """The events of an answer, from ``meta`` to ``done``.

        The passages are found before the first event, so that a fault there is still a plain
        error. A fault of the writer surfaces as a CoreError in the middle.
        """
        writer, terms, hits = await self._in_thread(self._find, owner, question)
        yield Event("meta", {"query_id": str(uuid.uuid4()), "model": self._writer.model})
        sources = [_source(hit) for hit in hits]
        yield Event("sources", event_lines.fitted(sources, self._line_limit_bytes))
        async with contextlib.aclosing(writer.write(question.query, terms, hits)) as parts:
            async for part in parts:
                for event in _events(part):
                    yield event

    async def search(self, owner: Owner, question: Question) -> list[dict[str, Any]]:
        """The passages that the question's words are found in, best first; nobody writes."""
        hits = await self._in_thread(
            self._reader.search,
            owner,
            question_terms(question.query, None),
            question.top_k,
            question.document_ids,
            question.query,
        )
        return [_source(hit) for hit in hits]

    def _find(self, owner: Owner, question: Question) -> tuple[Writer, str, list[Hit]]:
        """Who writes the answer, what was looked for, and what was found."""
        outlined = self._outlined(owner, question)
        if outlined:
            can_sum_up = self._writer.model != EXTRACTIVE
            return self._writer if can_sum_up else OutlineWriter(), "", outlined
        terms = self._terms(owner, question)
        hits = self._reader.search(
            owner, terms, question.top_k, question.document_ids, question.query
        )
        if hits:
            return self._writer, terms, hits
        searched = len(self._reader.filenames(owner, question.document_ids))
        return NothingFound(searched), terms, []

    def _outlined(self, owner: Owner, question: Question) -> list[Hit]:
        """The beginnings of sections, when the question asks for a summary of documents."""
        named = summary_of(question.query)
        if named is None:
            return []
        filenames = self._reader.filenames(owner, question.document_ids)
        wanted = [document for document, name in filenames.items() if is_named(name, named)]
        return self._reader.sections(owner, wanted)

    def _terms(self, owner: Owner, question: Question) -> str:
        conversation = question.conversation_id
        if more := left_out(question.query, question.earlier):
            return " ".join((*content_words(question.query), more))
        if conversation is None:
            return question_terms(question.query, None)
        terms = question_terms(question.query, self._registry.last_terms(owner, conversation))
        if content_words(terms):
            self._registry.remember(owner, conversation, terms)
        return terms

    async def _in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)


def _source(hit: Hit) -> dict[str, Any]:
    source: dict[str, Any] = {
        "document_id": hit.document_id,
        "filename": hit.filename,
        "chunk_id": hit.chunk_id,
        "score": hit.score,
        "text": hit.text,
    }
    if hit.section:
        source["section"] = list(hit.section)
    return source if hit.page is None else {**source, "page": hit.page}


def _events(part: Part) -> Iterator[Event]:
    match part:
        case Token(text):
            for piece in event_lines.token_texts(text):
                yield Event("token", {"text": piece})
        case Citation(source, start, end):
            yield Event("citation", {"source": source, "start": start, "end": end})
        case Usage(prompt, completion):
            yield Event("usage", {"prompt_tokens": prompt, "completion_tokens": completion})
        case Finished(reason):
            yield Event("done", {"finish_reason": reason})


class ExtractiveWriter:
    """Quotes the passages; its tokens are words."""

    model = EXTRACTIVE

    async def write(self, question: str, terms: str, hits: list[Hit]) -> AsyncGenerator[Part, None]:
        prompt = len(words(question)) + sum(len(hit.text.split()) for hit in hits)
        written = 0
        for part in await asyncio.to_thread(lambda: list(extract(terms, hits, question))):
            written += isinstance(part, Token)
            yield part
        yield Usage(prompt, written)
        yield Finished("stop")


class OutlineWriter:
    """Answers a wish for a summary where no model can write one: says so, and gives the outline."""

    model = EXTRACTIVE

    async def write(self, question: str, terms: str, hits: list[Hit]) -> AsyncGenerator[Part, None]:
        written = 0
        for part in outline(hits):
            written += isinstance(part, Token)
            yield part
        yield Usage(len(words(question)), written)
        yield Finished("stop")


class NothingFound:
    """Says that nothing was found, and what was searched. A model would invent an answer."""

    model = EXTRACTIVE

    def __init__(self, searched: int) -> None:
        self._searched = searched

    async def write(self, question: str, terms: str, hits: list[Hit]) -> AsyncGenerator[Part, None]:
        answer = pieces(self._words(terms))
        for piece in answer:
            yield Token(piece)
        yield Usage(len(words(question)), len(answer))
        yield Finished("no_sources")

    def _words(self, terms: str) -> str:
        if not self._searched:
            return "There is no document yet that I could search."
        of = "document" if self._searched == 1 else "documents"
        about = f" about “{terms}”" if terms else ""
        return f"I searched {self._searched} {of} and found nothing{about}."
