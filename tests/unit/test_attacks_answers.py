"""Large answers, asked for compressed: the work is somebody's, and not the event loop's."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
from types import SimpleNamespace
from typing import Any

from multidict import CIMultiDict
from sanic.response import HTTPResponse

from gateway.edge.http import compress

ASKED: Any = SimpleNamespace(headers=CIMultiDict({"Accept-Encoding": "gzip"}))


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
