"""Answers from an OpenAI-compatible endpoint, here one on a real socket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devstack.core.answering.extract import Citation, Token
from devstack.core.chat_model import ChatWriter, CitationMarks
from devstack.core.errors import CoreError, ModelNonsense, ModelUnavailable
from devstack.core.index import Hit
from devstack.core.query import Finished, Part, Usage
from devstack.core.settings import EndpointSettings

HITS = [
    Hit("d1", "a.txt", "d1:0", None, "Tea is green.", 2.0),
    Hit("d2", "b.txt", "d2:0", None, "Bread is white.", 1.0),
]


def delta(text: str | None, reason: str | None = None) -> bytes:
    chunk = {"choices": [{"delta": {"content": text}, "finish_reason": reason}]}
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}\n\n'
DONE = b"data: [DONE]\n\n"


@contextlib.asynccontextmanager
async def endpoint(
    blocks: list[bytes], status: int = 200
) -> AsyncIterator[tuple[ChatWriter, list[Any]]]:
    """A writer whose model answers with these bytes, and the requests the model got."""
    requests: list[Any] = []

    async def complete(request: web.Request) -> web.StreamResponse:
        requests.append((request.headers.get("Authorization"), await request.json()))
        response = web.StreamResponse(status=status, headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for block in blocks:
            await response.write(block)
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    async with TestServer(app) as server, httpx.AsyncClient(trust_env=False) as client:
        settings = EndpointSettings(str(server.make_url("/v1")), "small-model", "k-1")
        yield ChatWriter(settings, client), requests


async def written(writer: ChatWriter) -> list[Part]:
    return [part async for part in writer.write("Which colours?", "colours", HITS)]


async def test_models_tokens_are_streamed_and_its_marks_become_citations() -> None:
    """A mark cites the statement before it; usage and finish reason are the model's own."""
    blocks = [delta("Tea is gr"), delta("een [1"), delta("]. Bread\u2028 is white [2]."),
              delta(None, "stop"), USAGE, DONE]  # fmt: skip
    async with endpoint(blocks) as (writer, requests):
        parts = await written(writer)
    answer = "".join(part.text for part in parts if isinstance(part, Token))
    assert answer == "Tea is green [1]. Bread\u2028 is white [2]."
    cited = [
        (part.source, answer[part.start : part.end]) for part in parts if isinstance(part, Citation)
    ]
    assert cited == [(0, "Tea is green"), (1, "Bread\u2028 is white")]
    assert parts[-2:] == [Usage(7, 3), Finished("stop")]
    ((authorization, body),) = requests
    assert authorization == "Bearer k-1"
    assert body["model"] == "small-model"
    assert body["stream"] is True
    assert "[2] b.txt\nBread is white." in body["messages"][1]["content"]


async def test_events_cut_anywhere_are_put_together() -> None:
    """Blocks of the network are not events, nor whole letters."""
    raw = delta("Grün 🍵") + delta(None, "length") + DONE
    async with endpoint([raw[n : n + 1] for n in range(len(raw))]) as (writer, _):
        parts = await written(writer)
    assert parts[0] == Token("Grün 🍵")
    assert parts[-1] == Finished("length")


@pytest.mark.parametrize(
    ("blocks", "status", "fault"),
    [
        ([b"{}"], 401, ModelUnavailable),
        ([b"{}"], 500, ModelUnavailable),
        ([delta("half")], 200, ModelNonsense),
        ([b"data: {\n\n"], 200, ModelNonsense),
        ([b'data: {"error": {"message": "secret"}}\n\n'], 200, ModelNonsense),
        ([b"<html>", DONE], 200, ModelNonsense),
        ([b"x" * 2_000_000], 200, ModelNonsense),
        ([b'data: {"choices": 3}\n\n'], 200, ModelNonsense),
    ],
)
async def test_faulty_endpoint_is_an_error_and_never_a_finished_answer(
    blocks: list[bytes], status: int, fault: type[CoreError]
) -> None:
    """Refusals, truncation and nonsense have codes of their own, without the model's words."""
    async with endpoint(blocks, status) as (writer, _):
        with pytest.raises(fault) as failed:
            await written(writer)
    assert "secret" not in str(failed.value)


async def test_absent_endpoint_is_unavailable() -> None:
    """A refused connection is told as what it is."""
    async with endpoint([]) as (writer, _):
        pass
    async with httpx.AsyncClient(trust_env=False) as client:
        absent = ChatWriter(writer._settings, client)
        with pytest.raises(ModelUnavailable):
            await written(absent)


def test_mark_of_a_source_that_says_nothing_of_the_kind_is_no_citation() -> None:
    """A model may name any source; what it lacks, it does not carry."""
    marks = CitationMarks(HITS)
    answer = "Tea is green [2]. It costs 40 crowns [1]. Bread is white [2]."
    cited = [(c.source, answer[c.start : c.end]) for c in marks.feed(answer)]
    assert cited == [(1, "Bread is white")]


def test_two_marks_in_a_row_cite_the_same_statement() -> None:
    """Several sources may carry one statement; numbers without a source carry none."""
    marks = CitationMarks([HITS[0], HITS[0]])
    answer = "First. Tea is green [1][2] and [9]. More [0]."
    cited = [(c.source, answer[c.start : c.end]) for c in marks.feed(answer)]
    assert cited == [(0, "Tea is green"), (1, "Tea is green")]
