"""From a question to what is looked for.

Each word of it may be found in several ways, and each way has a weight: as written 1, by its stem
less, without its accents less again. Of the ways that a passage offers, the best one counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex  # type: ignore[import-untyped]

from devstack.core.finding import words as entry_words
from devstack.core.finding.function_words import DENSE_FUNCTION_WORDS
from devstack.core.finding.languages import beginnings, function_words, stem
from devstack.core.finding.normal_form import folded, normal, spelled_out
from devstack.core.finding.words import BEGINNING, FOLDED, STEM, WHOLE, clusters, pairs, words

AS_WRITTEN = 1.0
BY_STEM = 0.85
WITHOUT_ACCENTS = 0.6
BY_BOTH = 0.5
BY_BEGINNING = 0.4
# How much a piece of a question says: a pair of letters is less than a word, Japanese pairs of
# hiragana are mostly grammar, and the parts of a name are much less than the name.
PAIR = 0.6
GRAMMAR = 0.15
PART_OF_NAME = 0.35

_GRAMMAR = regex.compile(r"\p{Hiragana}+")
_DENSE_FUNCTION_WORDS = regex.compile("|".join(DENSE_FUNCTION_WORDS))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A word of a question: the entries it is found by, each with its weight, the best first.

    ``weight`` is how much the word itself says, up to 1.
    """

    word: str
    forms: tuple[tuple[str, float], ...]
    weight: float = 1.0


def content_words(question: str) -> list[str]:
    """The words of a question that name what is asked about, as written and in order."""
    return list(_content_words(question))


@lru_cache(maxsize=64)  # of one question they are wanted several times
def _content_words(question: str) -> tuple[str, ...]:
    found = words(question)
    simple = {normal(word) for word in found}
    dropped = function_words(simple, ())
    kept = [word for word in found if normal(entry_words.unelided(word)) not in dropped]
    return tuple(part for word in kept for part in _without_function_words(word))


def _without_function_words(word: str) -> list[str]:
    if not entry_words.is_dense(word):
        return [word]
    return [part for part in _DENSE_FUNCTION_WORDS.split(word) if part]


def question_terms(question: str, remembered: str | None) -> str:
    """What to look for.

    The question's content words; when it has none ("why?") those of the earlier question in the
    same conversation; without one, all its words, for a document may well be called "The Who".
    """
    return " ".join(content_words(question)) or remembered or " ".join(words(question))


def wanted(terms: str, languages: Sequence[str]) -> tuple[Wanted, ...]:
    """What to look for in documents of these languages, no word twice."""
    found: dict[str, Wanted] = {}
    for word in words(terms):
        for one in _wanted(word, languages):
            if one.word not in found or found[one.word].weight < one.weight:
                found[one.word] = one
    return tuple(found.values())


def _wanted(word: str, languages: Sequence[str]) -> Iterator[Wanted]:
    if entry_words.is_dense(word):
        yield from _dense(word)
        return
    whole, parts = entry_words.taken_apart(word)
    if whole is None:
        # A name like getUserName has its parts behind it.
        # A line to fill in ("____") has none.
        for n, part in enumerate(parts):
            yield Wanted(part, _forms(part, languages), PART_OF_NAME if n else 1.0)
    elif len(parts) == 1 and len(parts[0]) > 1:
        # "_Beagle_" or "__init__": the marks may be emphasis, or part of a name.
        yield Wanted(whole, ((WHOLE + whole, AS_WRITTEN), *_forms(parts[0], languages)))
    else:
        yield Wanted(whole, tuple(_whole(whole, parts)))
        for part in parts:
            yield Wanted(part, _forms(part, languages), PART_OF_NAME)


def _dense(run: str) -> Iterator[Wanted]:
    letters = clusters(run)
    if len(letters) == 1:
        yield Wanted(letters[0], ((letters[0], AS_WRITTEN),), PAIR)
    for pair in pairs(letters):
        weight = GRAMMAR if _GRAMMAR.fullmatch(pair) else PAIR
        yield Wanted(pair, ((pair, AS_WRITTEN),), weight)


def _whole(whole: str, parts: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    yield WHOLE + whole, AS_WRITTEN
    together = entry_words.joined(whole, parts)
    if together is not None:
        yield FOLDED + together, BY_STEM
        yield together, BY_STEM


def _forms(word: str, languages: Iterable[str]) -> tuple[tuple[str, float], ...]:
    """The entries of a simple word, each once, with its best weight."""
    forms: dict[str, float] = {word: AS_WRITTEN}
    for language in languages:
        stemmed = stem(word, language)
        _add(forms, BY_STEM, STEM + stemmed, stemmed)
        _add(forms, BY_BOTH, FOLDED + folded(stemmed))
        starts = beginnings(word, language)
        for start in (word, *starts) if starts else ():
            _add(forms, BY_BEGINNING, BEGINNING + start, start)
    for bare in (word, folded(word), spelled_out(word)):
        _add(forms, WITHOUT_ACCENTS, FOLDED + bare, bare)
    return tuple(sorted(forms.items(), key=lambda form: -form[1]))


def _add(forms: dict[str, float], weight: float, *entries: str) -> None:
    for entry in entries:
        forms[entry] = max(weight, forms.get(entry, 0.0))
