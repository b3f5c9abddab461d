"""Typed events out of a stream, and its one ending."""

from __future__ import annotations

import json

import pytest

from knowledge_base import Citation, Done, Event, Meta, Sources, Token, Usage, errors
from knowledge_base._answers import AnswerReader, Collected, StreamLimits, whole_answer
from knowledge_base.errors import KnowledgeBaseError

SOURCE = {"document_id": "d", "filename": "tea.pdf", "chunk_id": "d:0", "score": 2, "text": "Tea."}
ALL = [
    ("meta", {"query_id": "q", "model": "m", "more": 1}),
    ("sources", [{**SOURCE, "page": 2, "section": ["Tea"]}]),
    ("token", {"text": "Three."}),
    ("citation", {"source": 0, "start": 0, "end": 6}),
    ("usage", {"prompt_tokens": 5, "completion_tokens": 2}),
    ("done", {"finish_reason": "stop"}),
]


def sent(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def reader(idle_s: float = 60.0) -> AnswerReader:
    return AnswerReader(StreamLimits(), idle_s, now=0.0)


def test_events_have_their_types() -> None:
    """Their fields are read, what is new in them is left out, and ``data`` is as it was sent."""
    found = reader().feed(b"".join(sent(name, data) for name, data in ALL), 1.0)
    assert [type(one) for one in found] == [Meta, Sources, Token, Citation, Usage, Done]
    assert [one.data for one in found if isinstance(one, Event)] == [
        json.dumps(data) for _, data in ALL
    ]
    collected = Collected()
    for one in found:
        assert isinstance(one, Event)
        collected.take(one)
    answer = collected.answer()
    assert answer.text[answer.citations[0].start : answer.citations[0].end] == "Three."
    assert (answer.sources[0].page, answer.sources[0].score) == (2, 2.0)
    assert (answer.finish_reason, answer.query_id) == ("stop", "q")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("later", '{"new": 1}'),
        ("token", '{"text": 5}'),
        ("token", "plain words"),
        ("sources", "{}"),
        ("citation", '{"source": true, "start": 0, "end": 1}'),
        ("meta", "[" * 100_000),
    ],
)
def test_what_is_not_known_is_a_plain_event(name: str, data: str) -> None:
    """A newer server, or a core of its own mind, stops no client."""
    (found,) = reader().feed(f"event: {name}\ndata: {data}\n\n".encode(), 1.0)
    assert type(found) is Event
    assert (found.name, found.data) == (name, data)


def test_done_ends_it_whatever_it_says() -> None:
    """And nothing behind it is told."""
    one = reader()
    data = b"event: done\ndata: {}\n\n" + sent("token", {"text": "x"})
    (found,) = one.feed(data, 1.0)
    assert isinstance(found, Done)
    assert one.feed(sent("token", {"text": "y"}), 2.0) == []
    one.finish()


@pytest.mark.parametrize("code", errors.BY_CODE)
def test_an_error_is_the_exception_of_its_code(code: str) -> None:
    """What came before it in the same read is told first."""
    error = {
        "code": code,
        "message": "So it is.",
        "details": {"request_id": "r-1", "retry_after_s": 3},
    }
    token, found = reader().feed(
        sent("token", {"text": "x"}) + sent("error", {"error": error}), 1.0
    )
    assert isinstance(token, Token)
    assert type(found) is errors.BY_CODE[code]
    assert (found.code, found.message, found.request_id) == (code, "So it is.", "r-1")
    assert (found.retry_after, found.status) == (3.0, None)


@pytest.mark.parametrize("data", ["", "{}", '{"error": 1}', '{"error": {"code": "X"}}', "[]"])
def test_an_error_that_says_nothing_is_one_all_the_same(data: str) -> None:
    """It ends the answer."""
    (found,) = reader().feed(f"event: error\ndata: {data}\n\n".encode(), 1.0)
    assert isinstance(found, errors.ProtocolError)


@pytest.mark.parametrize(
    "data", [b"", b": connected\n\n", sent("token", {"text": "x"}), sent("done", {})[:-1]]
)
def test_bytes_that_end_without_an_ending_are_no_answer(data: bytes) -> None:
    """Half a ``done`` is none."""
    one = reader()
    one.feed(data, 1.0)
    with pytest.raises(errors.AnswerIncomplete):
        one.finish()


def test_comments_are_signs_of_life_and_half_a_line_is_none() -> None:
    """A peer that sends a byte now and then does not keep us for good."""
    one = reader(idle_s=10.0)
    for at in (9.0, 18.0, 27.0):
        one.feed(b": ping\n\n", at)
    one.feed(b"data", 36.0)
    with pytest.raises(errors.TimedOut):
        one.feed(b": x", 38.0)


def test_a_whole_answer_is_read() -> None:
    """The document of ``stream: false``."""
    found = whole_answer(
        {
            "answer": "Three.",
            "citations": [{"source": 0, "start": 0, "end": 6}],
            "sources": [SOURCE],
            "usage": None,
            "finish_reason": "stop",
        }
    )
    assert (found.text, found.citations[0].end, found.usage) == ("Three.", 6, None)


@pytest.mark.parametrize("value", [None, [], {}, {"answer": 1}, {"answer": "", "sources": [{}]}])
def test_a_whole_answer_of_another_shape_is_refused(value: object) -> None:
    """By name of the field."""
    with pytest.raises(KnowledgeBaseError):
        whole_answer(value)
