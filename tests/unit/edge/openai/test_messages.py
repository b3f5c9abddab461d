"""Which message of a conversation is the question, and what a core is told of the others."""

from __future__ import annotations

import msgspec
import pytest

from gateway.edge.openai.messages import (
    EARLIER_LIMIT_BYTES,
    MOST_EARLIER,
    Message,
    Part,
    asked,
)
from gateway.errors import ValidationFailed

QUESTION = Message("user", "And then?")


def test_the_newest_of_what_came_before_goes_along() -> None:
    """Fifty messages, the oldest of them first; a longer conversation loses its beginning."""
    before = [Message("user", str(n)) for n in range(MOST_EARLIER + 20)]
    question, earlier = asked([*before, QUESTION])
    assert question == "And then?"
    assert [one["content"] for one in earlier] == [str(n) for n in range(20, 70)]


@pytest.mark.parametrize("letter", ["a", "ü", "\x01", '"'])
def test_what_goes_along_is_limited_as_it_travels(letter: str) -> None:
    """64 KiB of JSON, in which an escape is longer than its letter; no message goes in part."""
    before = [Message("assistant", letter * 1000) for _ in range(MOST_EARLIER)]
    earlier = asked([*before, Message("user", "x" * 30_000), QUESTION]).earlier
    assert earlier[-1]["content"] == "x" * 30_000
    one = len(msgspec.json.encode(earlier[0]))
    assert EARLIER_LIMIT_BYTES - one < sum(len(msgspec.json.encode(m)) for m in earlier)
    assert len(msgspec.json.encode(earlier)) <= EARLIER_LIMIT_BYTES + MOST_EARLIER + 2


def test_one_message_that_is_too_long_ends_what_goes_along() -> None:
    """What was said before it belongs to another context."""
    huge = Message("assistant", "x" * EARLIER_LIMIT_BYTES)
    assert asked([Message("user", "a"), huge, Message("user", "b"), QUESTION]).earlier == [
        {"role": "user", "content": "b"}
    ]


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant"),
        Message("assistant", ""),
        Message("assistant", [Part("refusal")]),
        Message("user", [Part("image_url"), Part("text", None)]),
        Message("tool", "42"),
        Message("function", "42"),
    ],
)
def test_what_says_nothing_to_a_core_is_left_out(message: Message) -> None:
    """Of what came before: pictures, tools' results, refusals, empty messages."""
    assert asked([message, QUESTION]).earlier == []


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([Message("assistant", "hi")], "messages"),
        ([Message("user")], "messages[0].content"),
        ([QUESTION, Message("user", "")], "messages[1].content"),
        ([Message("user", [])], "messages[0].content"),
        ([Message("user", [Part("text", "see"), Part("image_url")])], "messages[0].content"),
        ([Message("user", "x" * 8193)], "messages[0].content"),
        ([Message("user", [Part("text", "x" * 4096)] * 2)], "messages[0].content"),
    ],
)
def test_a_question_that_is_none_is_named(messages: list[Message], field: str) -> None:
    """No user, no text, something besides text, or more than 8,192 characters."""
    with pytest.raises(ValidationFailed) as raised:
        asked(messages)
    assert list(raised.value.details["fields"]) == [field]
