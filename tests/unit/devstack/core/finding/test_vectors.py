"""The second stage: vectors of an endpoint, joined with the ranking by words.

The endpoint is a stand-in on a real socket, with three hand-made dimensions: it shows that the
stage works, and says nothing about how well a model finds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from devstack.core.finding.embeddings import EmbeddingsUnavailable, EndpointEmbedder, embedding
from devstack.core.finding.vectors import KEYS, VECTORS, fused
from devstack.core.index import Hit, IndexBuilder, IndexReader
from devstack.core.settings import EndpointSettings
from tests.unit.devstack.core.conftest import ALICE, State

CONCEPTS = (("car", "automobile", "engine"), ("bread", "loaf", "bakery"), ("tide", "ebb"))
CAR, BREAD = "The automobile stands in the yard.", "A loaf costs two crowns."


class Endpoint:
    """Answers as ``/v1/embeddings`` does: a dimension for each concept that a text has."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.base_url = ""
        self.callers: list[EndpointEmbedder] = []

    async def embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert request.headers["Authorization"] == "Bearer k-1"
        self.asked.extend(body["input"])
        rows = [[float(any(w in t.lower() for w in c)) for c in CONCEPTS] for t in body["input"]]
        data = [{"index": n, "embedding": row} for n, row in enumerate(rows)]
        return web.json_response({"data": list(reversed(data))}, status=self.status)


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Endpoint]:
    endpoint, app = Endpoint(), web.Application()
    app.router.add_post("/v1/embeddings", endpoint.embeddings)
    async with TestServer(app) as server:
        endpoint.base_url = str(server.make_url("/v1"))
        yield endpoint
        for caller in endpoint.callers:
            caller.close()


def embedder(endpoint: Endpoint, model: str = "small") -> EndpointEmbedder:
    made = EndpointEmbedder(EndpointSettings(endpoint.base_url, model, "k-1"))
    endpoint.callers.append(made)
    return made


def indexed(state: State, made: EndpointEmbedder) -> IndexReader:
    """Two documents, indexed with vectors; whoever reads them with vectors too."""
    index = state.data_dir / "index"
    state.builder = IndexBuilder(state.registry, index, made)
    for text in (CAR, BREAD):
        state.add(ALICE, text)
    return IndexReader(state.registry, index, embedder=made)


def find(reader: IndexReader, question: str) -> list[Hit]:
    return reader.search(ALICE, question, 5, None, question)


async def test_passage_without_any_word_of_the_question_is_found_by_its_vector(
    state: State,
) -> None:
    """And one that both rankings have goes first."""
    async with serving() as endpoint:
        reader = await asyncio.to_thread(indexed, state, embedder(endpoint))
        (hit,) = await asyncio.to_thread(find, reader, "car")
        assert hit.text == CAR
        hits = await asyncio.to_thread(find, reader, "car loaf crowns")
    assert [hit.text for hit in hits] == [BREAD, CAR]
    assert hits[0].score > hits[1].score > 0


async def test_vectors_are_made_once_for_each_text(state: State) -> None:
    """A new generation takes those of the one before."""
    async with serving() as endpoint:
        await asyncio.to_thread(indexed, state, embedder(endpoint))
    assert sorted(endpoint.asked) == sorted([CAR, BREAD])
    (generation,) = state.generations(ALICE)
    directory = state.data_dir / "index" / "acme" / "alice" / generation
    assert (directory / VECTORS).is_file()
    assert (directory / KEYS).is_file()


async def test_words_alone_decide_while_there_are_no_vectors(state: State) -> None:
    """An endpoint that fails takes nothing away, when indexing and when asking."""
    async with serving() as endpoint:
        endpoint.status = 500
        made = embedder(endpoint)
        reader = await asyncio.to_thread(indexed, state, made)
        assert [hit.text for hit in await asyncio.to_thread(find, reader, "automobile")] == [CAR]
        endpoint.status = 200
        await asyncio.to_thread(state.add, ALICE, "The tide is high.")
        assert len(await asyncio.to_thread(find, reader, "car")) == 1
        endpoint.status = 500
        assert await asyncio.to_thread(find, reader, "car") == []
        assert [hit.text for hit in await asyncio.to_thread(find, reader, "automobile")] == [CAR]


async def test_vectors_of_another_model_are_not_compared(state: State) -> None:
    """Their dimensions mean something else."""
    async with serving() as endpoint:
        await asyncio.to_thread(indexed, state, embedder(endpoint))
        index = state.data_dir / "index"
        other = IndexReader(state.registry, index, embedder=embedder(endpoint, "other"))
        assert await asyncio.to_thread(find, other, "car") == []


async def test_deleted_document_is_not_found_by_its_vector(state: State) -> None:
    """The mask holds for both rankings."""
    async with serving() as endpoint:
        reader = await asyncio.to_thread(indexed, state, embedder(endpoint))
        (hit,) = await asyncio.to_thread(find, reader, "car")
        state.registry.tombstone(ALICE, hit.document_id)
        assert await asyncio.to_thread(find, reader, "car") == []


@pytest.mark.parametrize(
    "answer",
    [b"{", b"[]", b'{"data": []}', b'{"data": [{"index": 0, "embedding": "x"}]}'],
)
async def test_answer_that_is_no_vector_is_told_as_unavailable(answer: bytes) -> None:
    """Whatever an endpoint says, a question is answered."""

    async def nonsense(request: web.Request) -> web.Response:
        return web.Response(body=answer)

    app = web.Application()
    app.router.add_post("/v1/embeddings", nonsense)
    async with TestServer(app) as server:
        settings = EndpointSettings(str(server.make_url("/v1")), "small", None)
        async with embedding(settings) as made:
            assert made is not None
            with pytest.raises(EmbeddingsUnavailable):
                await asyncio.to_thread(made.embed, ["one"])


async def test_no_endpoint_is_no_second_stage() -> None:
    """It is off until somebody sets it."""
    async with embedding(None) as made:
        assert made is None


def test_fusion_adds_the_reciprocals_of_ranks() -> None:
    """Second in both rankings is better than first in one."""
    assert [n for n, _ in fused([1, 2], [3, 2])] == [2, 1, 3]
    assert dict(fused([7]))[7] == pytest.approx(1 / 61)


def test_vectors_are_of_length_one() -> None:
    """So that a product of two is their cosine."""

    class Fixed(EndpointEmbedder):
        def _batch(self, texts: Any) -> list[Any]:
            return [[3.0, 4.0] for _ in texts]

    rows = Fixed(EndpointSettings("http://x", "m", None)).embed(["a"] * 70)
    assert rows.shape == (70, 2)
    assert np.linalg.norm(rows[0]) == pytest.approx(1)
