"""Events of an answer as messages: ``AskResponse``, one for each event.

Whole events of SSE go in, serialized messages come out. Several of these, one behind the other, are
one message with all of their events: so those that wait for a client are sent as one. Nearly all
events of an answer are tokens: they are recognised by one pattern and read without a parser. What a
core says beyond the contract is not lost: data with fields that no message has stands beside it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

import msgspec
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from gateway.domain.sse import Event as Said
from gateway.domain.sse import SseParser
from gateway.edge.grpc.proto.query_pb2 import AskResponse, Event, Other, Token
from gateway.errors import CoreProtocolError
from gateway.flows.json_answer import value_of

_TOKEN = re.compile(rb"event: ?token\ndata: ?([^\r\n]++)\n\n").match


class _Token(msgspec.Struct, forbid_unknown_fields=True):
    text: str


_TEXT: Final = msgspec.json.Decoder(_Token)
_ANY: Final = msgspec.json.Decoder()


class AskMessages:
    """The messages of one answer."""

    __slots__ = ("_begun", "_parser")

    def __init__(self) -> None:
        self._parser = SseParser(limit_bytes=sys.maxsize)
        self._begun = False

    def of(self, piece: bytes) -> Iterator[bytes]:
        """The messages of the events in ``piece``, which are whole; none for comments.

        Raises:
            CoreProtocolError: an event's data is not what the contract says; those before it were
                given.
        """
        # A byte order mark may come first, and only there.
        usual = self.usual(piece) if self._begun else None
        self._begun = True
        if usual is not None:
            yield from usual
            return
        for event in self._parser.feed_whole(piece):
            # How an answer ended badly is its status.
            if event.type != "error":
                yield _message(event)

    def usual(self, piece: bytes) -> list[bytes] | None:
        """The messages of tokens; ``None`` where there is anything else: ``of`` decides."""
        messages, at, end = [], 0, len(piece)
        while at < end:
            event = _TOKEN(piece, at)
            if event is None:
                return None
            try:
                messages.append(_token(_TEXT.decode(event[1]).text.encode()))
            except (msgspec.MsgspecError, UnicodeError, ValueError):
                return None
            at = event.end()
        return messages


def _token(text: bytes) -> bytes:
    """``AskResponse(events=[Event(token=Token(text=…))])``: three fields, one inside the other.

    A twentieth of an event's cost is saved so; everything else is left to protobuf.
    """
    return _field(_EVENTS, _field(_OF_TOKEN, _field(_OF_TEXT, text)))


def _field(tag: bytes, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:
        return b"%b%c%b" % (tag, size, value)
    digits = bytearray(tag)
    while size >= 0x80:
        digits.append(size & 0x7F | 0x80)
        size >>= 7
    digits.append(size)
    return bytes(digits) + value


def _tag(message: type[Message], field: str) -> bytes:
    """Of a field whose value has a length, with a number below 16."""
    return bytes([message.DESCRIPTOR.fields_by_name[field].number << 3 | 2])


_EVENTS, _OF_TOKEN, _OF_TEXT = (
    _tag(AskResponse, "events"),
    _tag(Event, "token"),
    _tag(Token, "text"),
)


def _message(said: Said) -> bytes:
    name, data = said.type, said.data
    # It is what the contract says, or of a name that the contract does not have.
    if value_of(name, data) is None:
        return _serialized(Event(other=Other(name=name, data=data)))
    value = _ANY.decode(data)
    shaped = {name: {"passages": value} if name == "sources" else value}
    try:
        return _serialized(ParseDict(shaped, Event()))
    except ParseError:
        pass  # it says more
    try:
        event = ParseDict(shaped, Event(), ignore_unknown_fields=True)
    except ParseError as exc:
        raise CoreProtocolError from exc
    event.data = data
    return _serialized(event)


def _serialized(event: Event) -> bytes:
    return AskResponse(events=(event,)).SerializeToString()
