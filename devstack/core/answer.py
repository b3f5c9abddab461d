"""The extractive answer: the best sentences of the passages found, word for word.

It needs no model, and every sentence is quoted from a source. A sentence weighs more the more of
the question's terms it has; rare terms count more.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from devstack.core.index import Hit
from devstack.core.text import Sentence, pieces, sentences, stems

MOST_SENTENCES = 3
# A further sentence must carry at least this share of the best one's weight to be worth reading.
WORTH_SAYING = 0.5
UNFINISHED = 0.2
NOTHING_FOUND = "I found nothing about this in your documents."


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Citation:
    """Source ``source`` carries the answer's characters (code points) from start up to end."""

    source: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Candidate:
    source: int
    sentence: Sentence


def extract(terms: str, hits: Sequence[Hit]) -> Iterator[Token | Citation]:
    """The answer in the order it is streamed: each sentence's pieces, then its citation."""
    position = 0
    for candidate in choose(terms, hits):
        if position:
            yield Token(" ")
            position += 1
        for piece in pieces(candidate.sentence.text):
            yield Token(piece)
        end = position + len(candidate.sentence.text)
        yield Citation(candidate.source, position, end)
        position = end


def choose(terms: str, hits: Sequence[Hit]) -> list[_Candidate]:
    """Up to three sentences, best first, none of them twice."""
    candidates = _candidates(hits)
    weights = _weights(stems(terms), candidates)
    ranked = sorted(
        ((_score(candidate, weights), candidate) for candidate in candidates),
        key=lambda pair: -pair[0],  # stable: at the same score the better source goes first
    )
    # BM25 may have found a passage by a word that no sentence of it holds whole; its best
    # passage is then quoted from the start rather than nothing at all.
    least = max(ranked[0][0] * WORTH_SAYING, 1e-9) if ranked else 0.0
    chosen = [candidate for score, candidate in ranked if score >= least]
    return (chosen or [candidate for _, candidate in ranked[:1]])[:MOST_SENTENCES]


def _candidates(hits: Sequence[Hit]) -> list[_Candidate]:
    seen: set[str] = set()
    candidates = []
    for source, hit in enumerate(hits):
        for sentence in sentences(hit.text):
            if sentence.text not in seen:  # chunks overlap, so sentences come twice
                seen.add(sentence.text)
                candidates.append(_Candidate(source, sentence))
    return candidates


def _weights(terms: frozenset[str], candidates: Sequence[_Candidate]) -> dict[str, float]:
    """The weight of each term among these sentences: the rarer, the higher."""
    count = Counter(term for c in candidates for term in c.sentence.stems & terms)
    return {
        term: math.log(1 + (len(candidates) - n + 0.5) / (n + 0.5)) for term, n in count.items()
    }


def _score(candidate: _Candidate, weights: dict[str, float]) -> float:
    shared = sum(weights[stem] for stem in candidate.sentence.stems if stem in weights)
    # A long list has every word, and a heading repeats the question's words without an answer.
    length = len(candidate.sentence.stems)
    fitting = 1 / (1 + abs(length - 14) / 28)
    return shared * fitting * (1.0 if candidate.sentence.finished else UNFINISHED)
