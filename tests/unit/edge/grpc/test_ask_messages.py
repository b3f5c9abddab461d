"""Events of SSE as messages, however they are written."""

from __future__ import annotations

import json

import pytest

from gateway.edge.grpc.events import AskMessages
from gateway.edge.grpc.proto.query_pb2 import AskResponse, Event
from gateway.errors import CoreProtocolError

BEGIN = b'event: meta\ndata: {"query_id":"q","model":"m"}\n\n'


def told(*pieces: bytes) -> list[Event]:
    """The events of all messages, in each of which there is one."""
    messages = AskMessages()
    found = [AskResponse.FromString(one) for piece in pieces for one in messages.of(piece)]
    return [event for one in found for (event,) in [one.events]]


def event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def test_each_event_of_the_contract_is_a_message_of_its_own() -> None:
    """With all that the core said; a comment is none."""
    passage = {"document_id": "d", "filename": "f", "chunk_id": "c", "score": 1, "text": "t"}
    whole = told(
        BEGIN,
        b": ping\n\n",
        event(
            "sources", [passage | {"page": 3, "section": ["a", "b"], "truncated": True}, passage]
        ),
        event("token", {"text": "Grüner"}),
        event("citation", {"source": 0, "start": 0, "end": 6}),
        event("usage", {"prompt_tokens": 2**40, "completion_tokens": 0}),
        event("done", {"finish_reason": "stop"}),
    )
    assert [one.WhichOneof("kind") for one in whole] == [
        *("meta", "sources", "token", "citation", "usage", "done")
    ]
    assert not any(one.HasField("data") for one in whole)
    first, second = whole[1].sources.passages
    assert (first.page, list(first.section), first.truncated) == (3, ["a", "b"], True)
    assert (second.HasField("page"), second.score) == (False, 1.0)
    assert (whole[2].token.text, whole[4].usage.prompt_tokens) == ("Grüner", 2**40)


def test_one_token_is_one_message_in_whatever_way_it_is_written() -> None:
    """The short way and the parser's are the same."""
    ways = (
        b'event: token\ndata: {"text":"a"}\n\n',
        b'event:token\ndata:{"text": "a"}\n\n',
        b'data: {"text":"a"}\nevent: token\n\n',
        b'event: token\r\ndata: {"text":"a"}\r\n\r\n',
        b'id: 7\nevent: token\ndata: {"text":\ndata: "a"}\n\n',
    )
    for way in ways:
        _, one = told(BEGIN, way)
        assert one == Event(token={"text": "a"}), way
    assert told(b"\xef\xbb\xbf" + ways[0]) == [Event(token={"text": "a"})]
    assert len(told(BEGIN, ways[0] * 3)) == 4


@pytest.mark.parametrize("size", [0, 1, 110, 120, 127, 128, 130, 16_380, 16_400, 100_000])
def test_a_token_of_any_length_is_what_protobuf_makes_of_it(size: int) -> None:
    """The short way writes the lengths by itself."""
    text = "é" * (size // 2) + "x" * (size % 2)
    messages = AskMessages()
    (message,) = messages.usual(event("token", {"text": text})) or ()
    assert AskResponse.FromString(message) == AskResponse(events=[Event(token={"text": text})])


def test_messages_behind_one_another_are_one_with_all_events() -> None:
    """Those that wait for a client are sent so."""
    tokens = [Event(token={"text": letter}) for letter in "abc"]
    parts = [AskResponse(events=[one]).SerializeToString() for one in tokens]
    assert AskResponse.FromString(b"".join(parts)) == AskResponse(events=tokens)


def test_what_is_no_utf_8_is_replaced_as_the_standard_has_it() -> None:
    _, one = told(BEGIN, b'event: token\ndata: {"text":"\xff"}\n\n')
    assert one.token.text == "\ufffd"


def test_what_a_message_lacks_stands_beside_it() -> None:
    """Nothing that a core says is lost; other names come as they are."""
    _, token, note = told(
        BEGIN, event("token", {"text": "a", "p": 1}), b"event: note\ndata: plain words\n\n"
    )
    assert (token.token.text, json.loads(token.data)) == ("a", {"text": "a", "p": 1})
    assert (note.other.name, note.other.data) == ("note", "plain words")


@pytest.mark.parametrize(
    "data", [b'{"text":5}', b"{}", b"[]", b"nonsense", b'{"text":"\\ud800"}', b"[" * 5000]
)
def test_a_token_that_is_none_ends_the_answer(data: bytes) -> None:
    """What came before it in the same piece is told."""
    told = AskMessages().of(BEGIN + b"event: token\ndata: %b\n\n" % data)
    assert AskResponse.FromString(next(told)).events[0].HasField("meta")
    with pytest.raises(CoreProtocolError):
        next(told)


def test_how_an_answer_failed_is_no_message() -> None:
    """It is the call's status."""
    assert len(told(BEGIN, event("error", {"error": {"code": "DRAINING"}}))) == 1
