"""The vectors of an index, beside it on disk, and how their ranking joins that of the words.

Two rankings are joined by reciprocal rank fusion: a passage gets ``1 / (60 + rank)`` from each that
it is in. Scores of different kinds need no common scale for it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.vector_stores.utils import metadata_dict_to_node

from devstack.core.finding.embeddings import Embedder, EmbeddingsUnavailable, Vectors
from devstack.core.finding.retriever import WordRetriever

logger = logging.getLogger(__name__)

VECTORS, KEYS = "vectors.npy", "vectors.json"
RANK_OFFSET = 60
# So many of each ranking are joined.
CANDIDATES = 50
# Every passage is similar to every question; below this the model sees nothing in common.
LEAST_SIMILAR = 0.2


def save(directory: Path, texts: Sequence[str], embedder: Embedder, before: Sequence[Path]) -> None:
    """Put the vectors of these texts into a new generation; known ones come from those before.

    An index whose vectors cannot be had is used without: its next generation tries again.
    """
    keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    known: dict[str, Vectors] = {}
    for folder in before:
        known |= _load(folder, embedder.model)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
    try:
        known |= dict(zip(missing, embedder.embed(list(missing.values())), strict=True))
    except EmbeddingsUnavailable as fault:
        logger.warning("no vectors for this index: %s", fault)
        return
    np.save(directory / VECTORS, np.stack([known[key] for key in keys]))
    (directory / KEYS).write_text(json.dumps({"model": embedder.model, "keys": keys}))


def load(directory: Path, model: str) -> Vectors | None:
    """The vectors of a generation in its order; None when it has none of this model."""
    found = _load(directory, model)
    return np.stack(list(_ordered(directory, found))) if found else None


def _ordered(directory: Path, found: dict[str, Vectors]) -> list[Vectors]:
    return [found[key] for key in json.loads((directory / KEYS).read_text())["keys"]]


def _load(directory: Path, model: str) -> dict[str, Vectors]:
    try:
        said = json.loads((directory / KEYS).read_text())
        rows = np.load(directory / VECTORS)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return dict(zip(said["keys"], rows, strict=True)) if said["model"] == model else {}


class FusedRetriever(BaseRetriever):
    """Joins what is found by words with what is found by vectors.

    ``question`` is the whole question: a model reads sentences, the index its content words. A
    node's score is that of the fusion. When the question gets no vector, words alone decide.
    """

    def __init__(
        self, words: WordRetriever, vectors: Vectors, embedder: Embedder, question: str, top_k: int
    ) -> None:
        super().__init__()
        self._words = words
        self._vectors = vectors
        self._embedder = embedder
        self._question = question
        self._top_k = top_k

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        try:
            (asked,) = self._embedder.embed([self._question])
        except EmbeddingsUnavailable as fault:
            logger.warning("found by words alone: %s", fault)
            return list(self._words.retrieve(query_bundle)[: self._top_k])
        similar = self._vectors @ asked
        similar = np.where(similar >= LEAST_SIMILAR, similar, 0).astype(np.float32)
        by_words = self._words.ranked(self._words.scores(query_bundle.query_str))
        by_vector = self._words.ranked(self._words.visible(similar))
        return [
            NodeWithScore(node=metadata_dict_to_node(self._words.corpus[n]), score=score)
            for n, score in fused(by_words, by_vector)[: self._top_k]
        ]


def fused(*rankings: Sequence[int]) -> list[tuple[int, float]]:
    """Reciprocal rank fusion: what is in these rankings, best first, with its score."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, n in enumerate(ranking, start=1):
            scores[n] = scores.get(n, 0.0) + 1 / (RANK_OFFSET + rank)
    return sorted(scores.items(), key=lambda item: -item[1])
