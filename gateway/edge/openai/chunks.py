"""A streamed answer as OpenAI's clients read it: ``chat.completion.chunk``, then ``[DONE]``.

Whole events of the core's stream go in, whole events of this one come out, those of one piece
together. The first chunk has the role, the last one the reason; an answer that broke ends with an
error and without ``[DONE]``. A piece that says nothing here becomes a comment: a client, and what
stands in between, must see that the answer is alive.

Tokens are the hot path of this door: what nearly every core writes is recognised by one pattern an
event, anything else is parsed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.domain import core_json
from gateway.domain.error_shape import error_body
from gateway.domain.sse import PING, Event, SseParser
from gateway.edge.openai.answer import ChatAnswer, Piece
from gateway.edge.openai.completion import MODEL, usage_of
from gateway.edge.openai.error_shape import with_openai_fields
from gateway.errors import CoreProtocolError, GatewayError
from gateway.flows.json_answer import value_of

_TOKEN = re.compile(rb"event: ?token\ndata: ?([^\r\n]++)\n\n").match
# At these (U+0085, U+2028, U+2029) some clients end a line, though the standard does not.
_LINE_ENDS = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
_ERROR: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
_DONE = b"data: [DONE]\n\n"


class ChatChunks:
    """The chunks of one answer; implements ``edge.http.told_streams.Shape``.

    Args:
        created: Unix seconds.
        include_usage: whether the client asked for ``usage``.

    Attributes:
        begin: the chunk with the role, to be sent before any other.
        broken: why nothing more can be told, once that is so.
    """

    __slots__ = (
        *("_answer", "_begun", "_delta", "_end", "_head", "_parser", "_usage", "begin", "broken"),
    )

    def __init__(
        self, answer: ChatAnswer, completion_id: str, *, created: int, include_usage: bool
    ) -> None:
        self._answer = answer
        head = {"id": completion_id, "object": "chat.completion.chunk", "created": created}
        self._head = b"data: " + msgspec.json.encode({**head, "model": MODEL})[:-1]
        self._delta = self._head + b',"choices":[{"index":0,"delta":'
        self._usage = b',"usage":null' if include_usage else b""
        self._end = b',"logprobs":null,"finish_reason":null}]%b}\n\n' % self._usage
        self._parser = SseParser(limit_bytes=sys.maxsize)
        self._begun = False
        self.broken: GatewayError | None = None
        self.begin = self._open({"role": "assistant", "content": "", "refusal": None})

    def told(self, piece: bytes) -> bytes:
        """What the client is told of whole events, up to one of which nothing can be made."""
        # A byte order mark may come first, and only there.
        told = self.usual(piece) if self._begun else None
        self._begun = True
        return self._parsed(piece) if told is None else told

    def usual(self, piece: bytes) -> bytes | None:
        """As ``told`` of tokens in two lines each; ``None`` where there is anything else."""
        texts: list[str] = []
        at, end = 0, len(piece)
        try:
            while at < end:
                event = _TOKEN(piece, at)
                if event is None:
                    return None
                texts.append(value_of("token", event[1]).text)
                at = event.end()
        except CoreProtocolError:
            return None  # ``told`` tells those before it
        return b"".join([self._pieces(self._answer.token(text)) for text in texts]) or PING

    def _parsed(self, piece: bytes) -> bytes:
        told: list[bytes] = []
        try:
            for event in self._parser.feed_whole(piece):
                told.append(self._event(event))
        except CoreProtocolError as error:
            self.broken = error
        return b"".join(told) or PING

    def failed(self, error: GatewayError, request_id: str) -> bytes:
        """The last thing a client is told of an answer of which nothing can be made."""
        return self._error(error_body(error, request_id))

    def _event(self, event: Event) -> bytes:
        if event.type == "error":
            return self._error(core_json.decode(_ERROR, event.data))
        told = self._pieces(self._answer.take(event))
        return told + self._last() if event.type == "done" else told

    def _pieces(self, pieces: Iterable[Piece]) -> bytes:
        return b"".join(
            self._text(piece) if isinstance(piece, str) else self._open({"annotations": [piece]})
            for piece in pieces
        )

    def _text(self, text: str) -> bytes:
        return b'%b{"content":%b}%b' % (self._delta, _json(text), self._end)

    def _open(self, delta: dict[str, Any]) -> bytes:
        return b"%b%b%b" % (self._delta, _json(delta), self._end)

    def _last(self) -> bytes:
        answer = self._answer
        reason, citations = _json(answer.finish_reason), _json(answer.citations)
        last = b'%b{},"logprobs":null,"finish_reason":%b}],"citations":%b%b}\n\n' % (
            *(self._delta, reason, citations, self._usage),
        )
        if self._usage and answer.usage is not None:
            usage = _json(usage_of(answer.usage))
            last += b'%b,"choices":[],"usage":%b}\n\n' % (self._head, usage)
        return last + _DONE

    def _error(self, body: dict[str, Any]) -> bytes:
        return b"data: %b\n\n" % _json(with_openai_fields(body))


def _json(value: Any) -> bytes:
    text = msgspec.json.encode(value)
    return text if text.isascii() else _LINE_ENDS.sub(_escaped, text)


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())
