"""What a core is told and tells over gRPC: bodies as messages, messages as records, events as SSE.

What a core says is believed no more than over REST: what cannot be is a ``CoreProtocolError``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.adapters.core_proto import core_pb2 as pb
from gateway.domain.core_records import Passage
from gateway.domain.documents import CoreDocument, DocumentState
from gateway.errors import CoreProtocolError

AnyMessage = TypeVar("AnyMessage", bound=Message)

# Bytes of names' lines that are kept: a core has a handful of event types.
MOST_NAMES = 64

QUESTION_FIELDS = frozenset({"query", "top_k", "document_ids", "conversation_id", "messages"})
SEARCH_FIELDS = frozenset({"query", "top_k", "document_ids"})
ROLES = {"system": pb.ROLE_SYSTEM, "user": pb.ROLE_USER, "assistant": pb.ROLE_ASSISTANT}
STATES: Mapping[int, DocumentState] = {
    pb.DOCUMENT_STATUS_PROCESSING: "processing",
    pb.DOCUMENT_STATUS_INDEXED: "indexed",
    pb.DOCUMENT_STATUS_FAILED: "failed",
    pb.DOCUMENT_STATUS_EXPIRED: "expired",
}

# --- to the core ---------------------------------------------------------------------------------


def question(body: Mapping[str, Any]) -> bytes:
    """A question's JSON body as a ``QueryRequest``."""
    _refuse_unknown(body, QUESTION_FIELDS)
    request = pb.QueryRequest(
        query=body["query"],
        top_k=body.get("top_k"),
        document_ids=_chosen(body),
        conversation_id=body.get("conversation_id"),
        messages=[
            pb.Message(role=ROLES[one["role"]], content=one["content"])
            for one in body.get("messages", ())
        ],
    )
    return request.SerializeToString()


def search(body: Mapping[str, Any]) -> bytes:
    """A search's JSON body as a ``SearchRequest``."""
    _refuse_unknown(body, SEARCH_FIELDS)
    request = pb.SearchRequest(
        query=body["query"], top_k=body.get("top_k"), document_ids=_chosen(body)
    )
    return request.SerializeToString()


def _chosen(body: Mapping[str, Any]) -> pb.DocumentIds | None:
    """No choice is another thing than an empty one."""
    ids = body.get("document_ids")
    return None if ids is None else pb.DocumentIds(ids=ids)


def _refuse_unknown(body: Mapping[str, Any], known: frozenset[str]) -> None:
    """A field that the protos lack would be lost on the way, and nobody would know."""
    if not body.keys() <= known:
        raise ValueError(f"the protos have no {', '.join(sorted(body.keys() - known))}")


# --- from the core -------------------------------------------------------------------------------


def read(kind: type[AnyMessage], content: bytes) -> AnyMessage:
    """Raises ``CoreProtocolError`` for what is no such message."""
    try:
        return kind.FromString(content)
    except DecodeError as exc:
        raise CoreProtocolError from exc


def document(record: pb.Document) -> CoreDocument:
    """Raises ``CoreProtocolError`` for a status that is none."""
    state = STATES.get(record.status)
    if state is None:
        raise CoreProtocolError
    return CoreDocument(
        document_id=record.document_id,
        filename=record.filename,
        content_type=record.content_type,
        size=record.size,
        status=state,
        error=_given(record, "error"),
        created_at=record.created_at,
        updated_at=record.updated_at,
        sha256=_given(record, "sha256"),
        warnings=tuple(record.warnings),
        version_id=_given(record, "version_id"),
    )


def passage(found: pb.Passage) -> Passage:
    return Passage(
        document_id=found.document_id,
        filename=found.filename,
        chunk_id=found.chunk_id,
        score=found.score,
        text=found.text,
        page=_given(found, "page"),
        section=list(found.section),
        truncated=found.truncated,
    )


def _given(message: Message, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


# --- events --------------------------------------------------------------------------------------

SIGN_OF_LIFE = b":\n\n"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_NO_LINE = re.compile(rb"[\r\n\0]")
_read_events = pb.QueryResponse.FromString


class EventLines:
    """Writes a core's events as server-sent events: what the same core would send over REST."""

    __slots__ = ("_beginnings",)

    def __init__(self) -> None:
        # By name, what stands before the data: an encoding and a check less for each event.
        self._beginnings: dict[str, bytes] = {}

    def of(self, message: bytes) -> bytes:
        """The events of a ``QueryResponse``; a comment where it has none.

        Raises:
            CoreProtocolError: it is no such message, or an event could not be written truly.
        """
        try:
            events = _read_events(message).events
        except DecodeError as exc:
            raise CoreProtocolError from exc
        return b"".join(map(self._event, events)) if events else SIGN_OF_LIFE

    def _event(self, event: pb.Event) -> bytes:
        name, data, event_id = event.name, event.data, event.id
        beginning = self._beginnings.get(name) or self._begin(name)
        if b"\n" in data or b"\r" in data:
            # JSON has line ends between its tokens alone: there they mean nothing.
            data = _LINE_END.sub(b"\ndata: ", data)
        if event_id:
            beginning = b"id: %b\n%b" % (_line(event_id), beginning)
        return b"%b%b\n\n" % (beginning, data)

    def _begin(self, name: str) -> bytes:
        beginning = b"event: %b\ndata: " % _line(name) if name else b"data: "
        if len(self._beginnings) < MOST_NAMES:
            self._beginnings[name] = beginning
        return beginning


def _line(text: str) -> bytes:
    """What has to stand on one line. A NUL in an id would make browsers ignore it."""
    line = text.encode()
    if _NO_LINE.search(line):
        raise CoreProtocolError
    return line
