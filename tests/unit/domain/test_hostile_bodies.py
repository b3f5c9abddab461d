"""Bodies made to cost more than they carry: anybody may send a megabyte to the login."""

from __future__ import annotations

import json
import time
from typing import Annotated

import msgspec
import pytest
from msgspec import Meta

from gateway.domain.strict_json import (
    LONG_BODY_BYTES,
    UNKNOWN_FIELDS_NAMED,
    convert,
    decode_json,
    read_json,
)
from gateway.errors import ValidationFailed

MIB = 1024 * 1024


class Shape(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1)]
    tags: Annotated[list[str], Meta(max_length=10)] = []


HOSTILE = {
    "many small objects": b'{"name":[%b{}]}' % (b"{}," * (MIB // 3)),
    "many small objects under an unknown name": b'{"x":[%b{}]}' % (b"{}," * (MIB // 3)),
    "many numbers": b'{"tags":[%b1]}' % (b"1," * (MIB // 2)),
    "many unknown names": b"{%b}" % b",".join(b'"%x":1' % n for n in range(MIB // 11)),
    "a bare list": b"[%b1]" % (b"1," * (MIB // 2)),
    "deep": b'{"name":' + b"[" * MIB,
    "a long number": b'{"name":' + b"9" * MIB + b"}",
    "not JSON at its end": b'{"name":"' + b"a" * MIB,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_long_body_of_the_wrong_shape_is_refused_without_building_it(
    body: bytes, cost_of_reading_s: float
) -> None:
    """Refusing a megabyte of rubbish costs far less than reading it would.

    The measure is reading a body of the same size that is nothing but small objects, which holds
    up every other request of the worker for most of a second.
    """
    assert _cost_s(body) < cost_of_reading_s / 10


def _cost_s(body: bytes) -> float:
    spent = []
    for _ in range(3):
        started = time.process_time()
        with pytest.raises(ValidationFailed):
            read_json(body, Shape)
        spent.append(time.process_time() - started)
    return min(spent)


@pytest.fixture(scope="module")
def cost_of_reading_s() -> float:
    body = b"[%b{}]" % (b"{}," * (MIB // 3))
    started = time.process_time()
    decode_json(body)
    return time.process_time() - started


def test_an_answer_to_unknown_fields_does_not_grow_with_the_body() -> None:
    """Some of the names, cut short, tell what is wrong; a megabyte of them would be an echo."""
    with pytest.raises(ValidationFailed) as caught:
        convert({"x" * 5000 + str(n): 1 for n in range(1000)}, Shape)
    told = caught.value.details["fields"]
    assert told["name"] == "is required"
    assert len(told) <= UNKNOWN_FIELDS_NAMED + 1
    assert len(json.dumps(told)) < 8 * 1024


@pytest.mark.parametrize("extra", ["x" * LONG_BODY_BYTES, 7, {"a": 1}])
def test_a_refusal_of_a_long_body_is_as_short_as_any(extra: object) -> None:
    """The field is named, and what the client wrote is not sent back to it at length."""
    body = {"name": "a" * LONG_BODY_BYTES, str(extra): extra, "tags": ["a" * LONG_BODY_BYTES]}
    with pytest.raises(ValidationFailed) as caught:
        read_json(json.dumps(body).encode(), Shape)
    assert caught.value.details["fields"]
    assert len(str(caught.value.details)) < 1024


def test_a_long_body_of_the_right_shape_is_read_as_strictly_as_a_short_one() -> None:
    """The first look is for shape alone: a name twice and a lone surrogate are refused after it."""
    long = "a" * LONG_BODY_BYTES
    assert read_json(json.dumps({"name": long}).encode(), Shape) == Shape(long)
    for body in (f'{{"name":"b","name":"{long}"}}', f'{{"name":"{long}\\ud800"}}'):
        with pytest.raises(ValidationFailed):
            read_json(body.encode(), Shape)
