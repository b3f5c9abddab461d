"""gzip is used exactly when the client's ``Accept-Encoding`` asks for it, beside the event loop."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict
from sanic.response import HTTPResponse

from gateway.edge.http import compress
from gateway.edge.http.compress import accepts_gzip

ASKED: Any = SimpleNamespace(headers=CIMultiDict({"Accept-Encoding": "gzip"}))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("", False),
        ("gzip;q=high", False),
        ("xgzip", False),
    ],
)
def test_the_weights_of_accept_encoding_decide(header: str, expected: bool) -> None:
    """RFC 9110, 12.5.3: a weight of 0 is a no, ``*`` stands for what is not named."""
    assert accepts_gzip(header) is expected


async def test_a_large_answer_is_compressed_beside_the_event_loop() -> None:
    """Eight megabytes take a quarter of a second, in which other streams must flow on."""
    choose = random.Random(1)
    words = " ".join(choose.choices(["heron", "river", "spring", "nest", "fish"], k=1_000_000))
    body = json.dumps({"answer": words}).encode()
    response = HTTPResponse(body, content_type="application/json")
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(somebody_else())
    await compress.apply(ASKED, response, 1024)
    other.cancel()
    assert turns > 3
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.body or b"") == body
