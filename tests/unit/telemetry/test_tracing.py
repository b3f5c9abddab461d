"""What a failed call's span says: a code or a class's name, and no text of an exception."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from gateway.errors import CoreTimeout, GatewayError
from gateway.telemetry.tracing import TRACEPARENT, Value, child

CANARY = "c4n4ry of a user's question"


class Noting:
    """A tracer that remembers its spans, which is all of ``Tracer`` and ``Span``."""

    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    def __init__(self) -> None:
        self.ended: list[str | None] = []
        self.attributes: dict[str, Value] = {}

    def begin(self, name: str, kind: Literal["server", "client"], parent: str | None) -> Noting:
        return self

    def set_attribute(self, name: str, value: Value) -> None:
        self.attributes[name] = value

    def end(self, error: str | None = None) -> None:
        self.ended.append(error)

    async def aclose(self) -> None:
        return None


class Refused(ValueError):
    """An exception of a library, whose text quotes what it was given."""


@pytest.mark.parametrize(
    ("failure", "word"),
    [
        (Refused(CANARY), "Refused"),
        (KeyError(CANARY), "KeyError"),
        (UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY), "UnicodeDecodeError"),
        (asyncio.CancelledError(CANARY), "CancelledError"),
        (CoreTimeout(CANARY), "CORE_TIMEOUT"),
        (GatewayError(details={"asked": CANARY}), GatewayError.code),
    ],
    ids=["foreign", "key", "quoting", "cancelled", "ours", "with details"],
)
def test_a_failed_call_is_told_without_the_text_of_its_exception(
    failure: BaseException, word: str
) -> None:
    """The text may quote a question, a key or a file's name, and traces go to another system."""
    tracer = Noting()
    with pytest.raises(type(failure)), child(tracer, "core open_query"):
        raise failure
    assert (tracer.ended, tracer.attributes) == ([word], {})
    assert TRACEPARENT.get() is None


def test_a_call_that_went_well_tells_no_error() -> None:
    """And its span is the parent of what is called meanwhile, no longer."""
    tracer = Noting()
    with child(tracer, "core open_query"):
        assert TRACEPARENT.get() == tracer.traceparent
    assert (tracer.ended, TRACEPARENT.get()) == ([None], None)
