"""Bodies are read strictly: ambiguity is refused, and every faulty field is named."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from gateway.domain.strict_json import convert, convert_pairs, decode_json
from gateway.errors import ValidationFailed


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1)]
    size: int
    tags: list[str] = []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\\u0000"}',
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 33 + b"]" * 33,
        b"[" * 100_000,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"9" * 5000,
        b"{} {}",
        b"'a'",
    ],
)
def test_a_body_that_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    """Whatever two JSON readers might disagree on is a validation error, never a guess."""
    with pytest.raises(ValidationFailed):
        decode_json(body)


def test_a_paired_surrogate_escape_is_one_character() -> None:
    """Escapes above U+FFFF come as two: they are valid JSON."""
    assert decode_json(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_every_faulty_field_is_named_at_once() -> None:
    """A client mends a body in one go, so all of it is told in one answer."""
    with pytest.raises(ValidationFailed) as caught:
        convert({"name": "", "size": "7", "tags": ["a", 2], "colour": "red"}, Shape)
    fields = caught.value.details["fields"]
    assert set(fields) == {"name", "size", "tags[1]", "colour"}
    assert fields["colour"] == "is not a known field"
    assert fields["tags[1]"] == "expected str, got int"


def test_a_missing_field_is_required() -> None:
    """Absence is told in the client's words: the field's name and that it is required."""
    with pytest.raises(ValidationFailed) as caught:
        convert({"name": "a"}, Shape)
    assert caught.value.details["fields"] == {"size": "is required"}


@pytest.mark.parametrize("value", [[], "text", 1, None, True])
def test_a_body_that_is_no_object_is_refused(value: object) -> None:
    """Every body here is an object."""
    with pytest.raises(ValidationFailed, match="JSON object"):
        convert(value, Shape)


def test_form_fields_may_be_numbers_in_text() -> None:
    """A form knows only text, so ``size=7`` is the number seven there."""
    assert convert_pairs([("name", "a"), ("size", "7")], Shape) == Shape("a", 7)


def test_a_form_field_given_twice_is_refused() -> None:
    """Which of two values is meant is not ours to choose."""
    with pytest.raises(ValidationFailed) as caught:
        convert_pairs([("name", "a"), ("name", "b"), ("size", "1")], Shape, prefix="?")
    assert caught.value.details["fields"] == {"?name": "is given twice"}
