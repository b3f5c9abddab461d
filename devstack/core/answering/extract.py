"""The extractive answer: the best pieces of the passages found, in the file's own characters.

It needs no model. A piece weighs more the more of the question's words it has, itself or around
it; rare words count more, and what only says the question again counts little.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import regex  # type: ignore[import-untyped]

from devstack.core.answering.units import Unit, Words, units
from devstack.core.finding.wanted import Wanted, content_words, wanted
from devstack.core.index import Hit

MOST_PIECES = 3
# A further piece must carry at least this share of the best one's weight to be worth reading, and
# one of another document, which may say otherwise, too.
WORTH_SAYING = 0.7
# What a word counts that stands not in the piece itself but around it.
ASKED, ABOVE, NEAR, NAMED = 0.85, 0.6, 0.35, 0.3
# The sentence before, when this one begins with "it".
REFERRED = 0.8
ECHO = 0.1
# A word of an earlier question: it tells what is spoken of, not what is asked of it.
EARLIER = 0.35
UNFINISHED = 0.5
# How much the score of its passage counts in a piece's.
BY_PASSAGE = 0.3
# Below this share of its weight in the piece itself, the whole paragraph is the answer.
MOSTLY_ABOVE = 0.3
USUAL_WORDS = 40


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
class _Asked:
    """A word of the question: its forms, the best first, and how much it tells among the pieces."""

    forms: tuple[tuple[str, float], ...]
    entries: Words
    weight: float

    def best(self, entries: Words) -> float:
        """The weight of the best form that is there, else 0."""
        if self.entries.isdisjoint(entries):
            return 0.0
        return next(weight for entry, weight in self.forms if entry in entries)


@dataclass(frozen=True, slots=True)
class _Scored:
    unit: Unit
    score: float
    own: float  # the share of it that stands in the unit itself


def extract(terms: str, hits: Sequence[Hit], question: str = "") -> Iterator[Token | Citation]:
    """The answer in the order it is streamed: each quotation's pieces, then its citation.

    Those of ``terms`` that ``question`` does not have are from earlier ones, and count less.
    """
    return quoted(choose(terms, hits, question), hits)


def quoted(chosen: Sequence[Unit], hits: Sequence[Hit]) -> Iterator[Token | Citation]:
    """Quotations with their citations; where they come from when there is more than one place."""
    places = [(hits[unit.source].document_id, hits[unit.source].section) for unit in chosen]
    position = 0
    for number, unit in enumerate(chosen):
        hit = hits[unit.source]
        lead = f"{unit.lead}\n" if unit.lead and not _shown(unit, chosen[:number]) else ""
        label = _label(hit) if len(set(places)) > 1 else ""
        between = "" if not number else "\n" if label or unit.lead else " "
        for text in (between + label + lead, hit.text[unit.start : unit.end]):
            for piece in pieces(text):
                yield Token(piece)
            position += len(text)
        yield Citation(unit.source, position - (unit.end - unit.start), position)


def _shown(unit: Unit, before: Sequence[Unit]) -> bool:
    """Whether the header of this row already stands above the one before it."""
    return bool(before) and (before[-1].lead, before[-1].source) == (unit.lead, unit.source)


def _label(hit: Hit) -> str:
    section = (" › ".join(hit.section),) if hit.section else ()
    return f"{', '.join((hit.filename, *section))}: "


def pieces(text: str) -> list[str]:
    """A text in the pieces it is streamed in; joined they are the text again."""
    return list(regex.findall(r"\s*\S{1,24}|\s+", text))


def choose(terms: str, hits: Sequence[Hit], question: str = "") -> list[Unit]:
    """Up to three pieces, best first, none of them twice or within another."""
    candidates = units(hits)
    languages = tuple(dict.fromkeys(hit.language for hit in hits))
    asked = _asked(_asked_now(wanted(terms, languages), question, terms, languages), candidates)
    found_by = _found_by(asked)
    best = max((hit.score for hit in hits), default=0.0)
    shares = [hit.score / best if best > 0 else 1.0 for hit in hits]
    ranked = sorted(
        (_scored(unit, _met(unit, found_by), shares[unit.source]) for unit in candidates),
        key=lambda scored: -scored.score,  # stable: at the same score the better source goes first
    )
    return _chosen(ranked)


def _asked_now(
    words: Sequence[Wanted], question: str, terms: str, languages: Sequence[str]
) -> Sequence[Wanted]:
    """The words with less weight for those of earlier questions, if the question has any itself."""
    named = " ".join(content_words(question))
    if not named or named == terms:
        return words
    now = {one.word for one in wanted(named, languages)}
    return [one if one.word in now else replace(one, weight=one.weight * EARLIER) for one in words]


def _chosen(ranked: Sequence[_Scored]) -> list[Unit]:
    chosen: list[Unit] = []
    for scored in ranked:
        if scored.score < max(ranked[0].score * WORTH_SAYING, 1e-9) and chosen:
            break
        unit = _in_full(scored)
        if not any(_overlaps(unit, other) for other in chosen):
            chosen.append(unit)
        if len(chosen) == MOST_PIECES:
            break
    return chosen


def _overlaps(one: Unit, other: Unit) -> bool:
    return one.source == other.source and one.start < other.end and other.start < one.end


def _in_full(scored: _Scored) -> Unit:
    """A piece that is found by what stands above it is the beginning of the answer."""
    unit = scored.unit
    if scored.own >= MOSTLY_ABOVE or unit.rest <= unit.end:
        return unit
    return replace(unit, end=unit.rest)


def _asked(words: Sequence[Wanted], candidates: Sequence[Unit]) -> list[_Asked]:
    """The question's words; one that few pieces have tells more than one that all have."""
    having: defaultdict[str, set[int]] = defaultdict(set)
    for number, unit in enumerate(candidates):
        for entry in unit.own | unit.above:
            having[entry].add(number)
    found = []
    for one in words:
        entries = frozenset(entry for entry, _ in one.forms)
        count = len(set[int]().union(*(having.get(entry, ()) for entry in entries)))
        rarity = math.log(1 + (len(candidates) - count + 0.5) / (count + 0.5))
        found.append(_Asked(one.forms, entries, one.weight * rarity))
    return found


def _found_by(asked: Sequence[_Asked]) -> dict[str, list[tuple[int, _Asked]]]:
    """The question's words with their places in it, by the entries that each is found by.

    A long question has thousands of words, and a piece is asked only about those that it has.
    """
    found: defaultdict[str, list[tuple[int, _Asked]]] = defaultdict(list)
    for place, one in enumerate(asked):
        for entry in one.entries:
            found[entry].append((place, one))
    return dict(found)


def _met(unit: Unit, found_by: Mapping[str, Sequence[tuple[int, _Asked]]]) -> list[_Asked]:
    """The question's words that stand in a piece or around it, in the question's order."""
    known = unit.own.union(unit.asked, unit.above, unit.near, unit.named)
    met = dict(pair for entry in known for pair in found_by.get(entry, ()))
    return [met[place] for place in sorted(met)]


def _scored(unit: Unit, asked: Sequence[_Asked], passage: float) -> _Scored:
    """``asked`` are the words that the unit has, ``passage`` is its passage's share of the best
    one's score."""
    total = own = 0.0
    for one in asked:
        itself = one.best(unit.own)
        around = max(
            ASKED * one.best(unit.asked),
            ABOVE * one.best(unit.above),
            (REFERRED if unit.refers else NEAR) * one.best(unit.near),
            NAMED * one.best(unit.named),
        )
        # A word in both is a little surer than a word in one.
        total += one.weight * (max(itself, around) + 0.1 * min(itself, around))
        own += one.weight * itself
    share = own / total if total else 0.0
    score = total * _fitting(unit, asked) * (1 - BY_PASSAGE + BY_PASSAGE * passage)
    return _Scored(unit, score, share)


def _fitting(unit: Unit, asked: Sequence[_Asked]) -> float:
    """How well a piece's form fits an answer, up to 1."""
    others = unit.own.difference(*(one.entries for one in asked))
    news = sum(entry[0] not in "=~^*" for entry in others)
    if unit.heading or (unit.own and not news):
        return ECHO
    # A long list of words has every word.
    length = 1 / (1 + max(0, news - USUAL_WORDS) / USUAL_WORDS)
    return length * (1.0 if unit.finished or news > 2 else UNFINISHED)
