"""What every core of the benchmarks answers: the events that ``go/events`` checks byte for byte."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_FILL = 3 * _ALPHABET
# So that a token event takes 120 bytes when it is written in the plainest way.
_FILL_CHARS = 49
USAGE = '{"prompt_tokens":1,"completion_tokens":1}'
DONE = '{"finish_reason":"stop"}'


@dataclass(frozen=True)
class Order:
    """A query's text, ``id=7 events=0 rate=10 for=60``; see ``go/stubcore``."""

    stream: int
    events: int
    rate: float
    lasts_s: float

    @classmethod
    def read(cls, body: Any) -> Order:
        words = dict(word.split("=") for word in body["query"].split())
        return cls(
            int(words.get("id", 0)),
            int(words.get("events", 1)),
            float(words.get("rate", 50)),
            min(float(words.get("for", 60)), 3600.0),
        )


def _token(stream: int, number: int) -> str:
    start = (stream * 31 + number) % len(_ALPHABET)
    head = f"s{stream:06d} n{number:08d} t{time.time_ns():019d} "
    return f'{{"text":"{head}{_FILL[start : start + _FILL_CHARS]}"}}'


async def answer(order: Order) -> AsyncIterator[tuple[str, str]]:
    """The events of an answer, each with its name and its data, at their pace."""
    yield "meta", f'{{"query_id":"{order.stream}","model":"stub"}}'
    began, number = time.monotonic(), 0
    due = began + random.random() / order.rate
    while (not order.events or number < order.events) and due - began < order.lasts_s:
        await asyncio.sleep(max(due - time.monotonic(), 0))
        yield "token", _token(order.stream, number)
        number, due = number + 1, due + 1 / order.rate
    yield "usage", USAGE
    yield "done", DONE


async def written(order: Order) -> AsyncIterator[bytes]:
    """The same as bytes, in the plainest way."""
    async for name, data in answer(order):
        yield f"event: {name}\ndata: {data}\n\n".encode()
