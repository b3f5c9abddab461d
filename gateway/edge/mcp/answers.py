"""An answer to ``ask``: progress while it streams, then the whole of it, as text and structured.

A client that gave a progress token is told the text as it comes, a piece of it in each
notification, but not more often than anybody reads. Any other hears nothing but comments, which
keep proxies from taking a long answer for a dead connection. The last message has everything either
way.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.domain.sse import PING, Event, SseParser
from gateway.edge.mcp.results import done, failed, failed_by, progress
from gateway.edge.mcp.tools import Call
from gateway.errors import CoreProtocolError, GatewayError
from gateway.flows.json_answer import Collected, QueryAnswer, Source

# As often a client is told more of the text, or that its answer is still under way.
PROGRESS_S: Final = 0.1
KEEP_ALIVE_S: Final = 10.0


class AnswerStream:
    """The messages about one answer; implements ``edge.http.told_streams.Shape``.

    Attributes:
        begin: nothing comes before the core's first word.
        broken: why nothing more can be told, once that is so.
    """

    __slots__ = (
        *("_call", "_collected", "_left_bytes", "_now_s", "_parser", "_pieces"),
        *("_told_at", "_told_chars", "begin", "broken"),
    )

    def __init__(self, call: Call, limit_bytes: int) -> None:
        self.begin = b""
        self.broken: GatewayError | None = None
        self._call = call
        self._collected = Collected()
        self._left_bytes = limit_bytes
        self._parser = SseParser(limit_bytes=sys.maxsize)
        self._pieces = self._told_chars = 0
        self._now_s = asyncio.get_running_loop().time
        # The first words go out at once; where none do, there is time.
        self._told_at = self._now_s() if call.progress_token is None else -PROGRESS_S

    def usual(self, piece: bytes) -> bytes | None:
        """``told`` decides: there is no short way here."""
        return None

    def told(self, piece: bytes) -> bytes:
        """What the client is told when the core has sent this: often nothing yet."""
        self._left_bytes -= len(piece)
        try:
            last = self._take(self._parser.feed_whole(piece))
        except CoreProtocolError as error:
            self.broken = error
            return b""
        if last is not None:
            # Who only shows progress has shown the whole answer then.
            return self._progress() + _message(last)
        return self._meanwhile(is_silent=piece.startswith(b":"))

    def failed(self, error: GatewayError, request_id: str) -> bytes:
        return _message(failed(self._call.id, error, request_id))

    def _take(self, events: Sequence[Event]) -> dict[str, Any] | None:
        """The last message, where the answer has ended."""
        if self._left_bytes < 0:
            raise CoreProtocolError
        for event in events:
            if event.type == "error":
                return failed_by(self._call.id, event.data)
            self._collected.take(event)
            if event.type == "done":
                found = self._collected.answer()
                return done(self._call.id, found, answer_text(found))
        return None

    def _meanwhile(self, *, is_silent: bool) -> bytes:
        token, now_s = self._call.progress_token, self._now_s()
        due_s = KEEP_ALIVE_S if token is None else PROGRESS_S
        if not is_silent and now_s - self._told_at < due_s:
            return b""
        told = self._progress()
        if not told and (is_silent or token is None):
            told = PING
        if told:
            self._told_at = now_s
        return told

    def _progress(self) -> bytes:
        """A notification of what the text has grown by, where one is wanted and it has."""
        token, pieces = self._call.progress_token, self._collected.text
        text = "" if token is None else "".join(pieces[self._pieces :])
        self._pieces = len(pieces)
        if token is None or not text:
            return b""
        self._told_chars += len(text)
        return _message(progress(token, self._told_chars, text))


def _message(value: dict[str, Any]) -> bytes:
    """JSON has no line end in it, so it is one line of data."""
    return b"event: message\ndata: %b\n\n" % msgspec.json.encode(value)


def answer_text(found: QueryAnswer) -> str:
    """The answer for a model to read: ``[n]`` behind what a passage carries, and what they are."""
    text, at = [], 0
    numbers: dict[int, int] = {}
    for citation in sorted(found.citations, key=lambda one: one.end):
        if not 0 <= citation.source < len(found.sources):
            continue
        end = min(max(citation.end, at), len(found.answer))
        mark = f" [{numbers.setdefault(citation.source, len(numbers) + 1)}]"
        text += [found.answer[at:end], mark]
        at = end
    text.append(found.answer[at:])
    notes = [_note(number, found.sources[source]) for source, number in numbers.items()]
    return "".join(text) + ("\n\n" + "\n".join(notes) if notes else "")


def _note(number: int, source: Source) -> str:
    page = "" if source.page is None else f", page {source.page}"
    name = " ".join(source.filename.split())
    return f"[{number}] {name}{page} (document {source.document_id})"
