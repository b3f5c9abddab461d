"""LlamaIndex's BM25 retriever with entries, fields and weights of our own.

What it stores and scores is BM25 (bm25s, with Lucene's formula): each entry of each passage has a
score that was computed when the index was built. A passage's score for a question is::

    sum over the question's words of
        weight of the word × sum over the fields of
            weight of the field × the best of (weight of a form × BM25 score of its entry)

times how much of what was asked it covers. :meth:`WordRetriever.explained` gives the terms of
that sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import bm25s  # type: ignore[import-untyped]
import numpy as np
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict
from llama_index.retrievers.bm25 import BM25Retriever  # type: ignore[import-untyped]
from numpy.typing import NDArray

from devstack.core.finding.languages import is_function_word
from devstack.core.finding.normal_form import squeezed
from devstack.core.finding.passages import FIELDS, FILE
from devstack.core.finding.wanted import Wanted, wanted
from devstack.core.reading.nodes import SECTION

Scores = NDArray[np.float32]

# A passage that has all that was asked counts this much more than one that has nearly nothing.
LEAST_COVERED = 0.4
# A passage with less than this share of what was asked has met it by chance, unless it has a whole
# word of it: a pair of letters, a part of a name, a word of grammar, the name of its file.
BY_CHANCE = 0.12


@dataclass(frozen=True, slots=True)
class Match:
    """One term of a passage's score: a word of the question, what it was found by, and where."""

    word: str
    entry: str
    score: float


def build(nodes: Sequence[TextNode], entries: Sequence[list[str]]) -> BM25Retriever:
    """A retriever over nodes that are found by these entries, ready to be stored."""
    bm25 = bm25s.BM25()
    bm25.index(list(entries), show_progress=False)
    bm25.corpus = [node_to_metadata_dict(node) | {"node_id": node.node_id} for node in nodes]
    return BM25Retriever(existing_bm25=bm25, similarity_top_k=1)


class WordRetriever(BM25Retriever):  # type: ignore[misc]
    """Retrieves the nodes with the best score, best first; none at score 0 and no text twice.

    ``mask`` has a 1 for each node that may be seen. ``languages`` are those of the documents.
    """

    def __init__(
        self, bm25: bm25s.BM25, languages: Sequence[str], mask: Sequence[int], top_k: int
    ) -> None:
        super().__init__(existing_bm25=bm25, similarity_top_k=min(top_k, len(mask)))
        self._languages = tuple(languages)
        self._mask = np.asarray(mask, dtype=np.float32)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        scores = self.scores(query_bundle.query_str)
        return [
            NodeWithScore(node=metadata_dict_to_node(self.corpus[n]), score=float(scores[n]))
            for n in self.ranked(scores)
        ]

    def ranked(self, scores: Scores) -> list[int]:
        """The numbers of the best nodes; of copies the first."""
        order = np.argsort(-scores, kind="stable")
        found: list[int] = []
        seen: set[str] = set()
        for n in order[: np.count_nonzero(scores > 0)]:
            text = _known_by(self.corpus[n])
            if text not in seen:
                seen.add(text)
                found.append(int(n))
            if len(found) == self.similarity_top_k:
                break
        return found

    def scores(self, question: str) -> Scores:
        """The score of every node; 0 for those that may not be seen."""
        asked = wanted(question, self._languages)
        total, covered = self._zeros(), self._zeros()
        whole_word = np.zeros(len(self._mask), dtype=bool)
        possible = 0.0
        for one in asked:
            said, named = self._word(one)
            score = said + named
            found = score > 0
            share = one.weight * self._rarity(int(np.count_nonzero(found)))
            possible += share
            total += one.weight * score
            covered += share * found
            if one.weight == 1.0 and not is_function_word(one.word, self._languages):
                whole_word |= said > 0
        coverage = covered / max(possible, 1e-9)
        total *= LEAST_COVERED + (1 - LEAST_COVERED) * coverage
        return self.visible(np.where(whole_word | (coverage >= BY_CHANCE), total, 0))

    def visible(self, scores: Scores) -> Scores:
        """Scores with those of nodes that may not be seen set to 0."""
        return scores * self._mask

    def explained(self, question: str, node_id: str) -> list[Match]:
        """What a node's score consists of, before it is multiplied by how much it covers.

        Of several forms of one word in one field only the best counts.
        """
        n = next(n for n, entry in enumerate(self.corpus) if entry["node_id"] == node_id)
        return [
            Match(one.word, field + entry, round(one.weight * weight * score, 4))
            for one in wanted(question, self._languages)
            for field in FIELDS
            for entry, weight in one.forms
            if (score := self._entry_score(field + entry, n) * FIELDS[field]) > 0
        ]

    def _word(self, one: Wanted) -> tuple[Scores, Scores]:
        """The scores of every node for one word: in text and context, and in the file's name."""
        said, named = self._zeros(), self._zeros()
        for field, field_weight in FIELDS.items():
            best = self._zeros()
            for entry, weight in one.forms:
                for nodes, scores in self._column(field + entry):
                    best[nodes] = np.maximum(best[nodes], weight * scores)
            total = named if field == FILE else said
            total += field_weight * best
        return said, named

    def _column(self, entry: str) -> Iterator[tuple[NDArray[np.int32], Scores]]:
        """The nodes that an entry occurs in with their scores, if it occurs at all."""
        number = self.bm25.vocab_dict.get(entry)
        if number is not None and number + 1 < len(self.bm25.scores["indptr"]):
            start, end = self.bm25.scores["indptr"][number : number + 2]
            yield self.bm25.scores["indices"][start:end], self.bm25.scores["data"][start:end]

    def _entry_score(self, entry: str, n: int) -> float:
        return sum(float(scores[nodes == n].sum()) for nodes, scores in self._column(entry))

    def _rarity(self, nodes: int) -> float:
        """How much a word tells that so many nodes have."""
        return math.log(1 + (len(self._mask) - nodes + 0.5) / (nodes + 0.5))

    def _zeros(self) -> Scores:
        return np.zeros(len(self._mask), dtype=np.float32)


def _known_by(entry: dict[str, Any]) -> str:
    """What a copy of a stored passage has too: its headings and its text.

    The same hours under "Summer" and under "Winter" are two passages.
    """
    return squeezed("\n".join((*entry[SECTION], metadata_dict_to_node(entry).get_content())))
