"""The words of a text as the index keeps them.

A word has up to four kinds of entries in the index: itself (``books``), its stem (``~book``), its
form without accents (``^muller``), and for a name made of several parts the whole name
(``=inv-2024-07``). An entry that would say the same as another one is left out, so plain English
text has little more than its words and stems.

Scripts without blanks (Chinese, Japanese, Thai, Lao, Khmer, Burmese) and Korean, whose words grow
endings, are kept as single letters and overlapping pairs; a letter includes its marks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from itertools import pairwise
from typing import Concatenate, ParamSpec, TypeVar

import regex  # type: ignore[import-untyped]

from devstack.core.finding.languages import beginnings, stem
from devstack.core.finding.normal_form import folded, normal, prepared, spelled_out

# Longer ones are no words of any language, and a hundred thousand of them would fill the memory.
KEPT_CHARACTERS = 64
_KEPT_WORDS = 100_000

_More = ParamSpec("_More")
_Found = TypeVar("_Found")


def _kept_while_short(
    function: Callable[Concatenate[str, _More], _Found],
) -> Callable[Concatenate[str, _More], _Found]:
    """``function`` of a word, which remembers what it found for those that are not too long."""
    kept = lru_cache(maxsize=_KEPT_WORDS)(function)

    @wraps(function)
    def found(word: str, /, *more: _More.args, **named: _More.kwargs) -> _Found:
        if len(word) > KEPT_CHARACTERS:
            return function(word, *more, **named)
        return kept(word, *more, **named)  # type: ignore[arg-type]

    return found


WHOLE, STEM, FOLDED, BEGINNING = "=", "~", "^", "*"

_NO_BLANKS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u3005\u30fc"
)
_LETTER = rf"[[\p{{L}}\p{{N}}_]--[{_NO_BLANKS}]]"
_MORE = rf"[[\p{{L}}\p{{M}}\p{{N}}_]--[{_NO_BLANKS}]]"
# What joins the parts of a name; a comma only between digits, a hyphen also at the end of a line.
_JOIN = r"(?:::|->|-[ \t]*\n[ \t]*(?=\p{Ll})|[-./:@'&\\]|(?<=\d),(?=\d))"
# Of what may follow a name, these are part of it: C++, C#, F#.
_TAIL = r"(?:\+\+|\#(?!\w))?"
_WORD = regex.compile(
    rf"(?P<dense>[{_NO_BLANKS}][{_NO_BLANKS}\p{{M}}]*)"
    rf"|(?P<word>{_LETTER}{_MORE}*+(?:{_JOIN}{_LETTER}{_MORE}*+)*+{_TAIL})"
    r"|\p{Extended_Pictographic}",
    regex.V1,
)
# The same for text in ASCII, which is most of it, by the standard library's faster engine.
_ASCII_WORD = re.compile(
    r"\w+(?:(?:::|->|-[ \t]*\n[ \t]*(?=[a-z])|[-./:@'&\\]|(?<=\d),(?=\d))\w+)*(?:\+\+|#(?!\w))?",
    re.ASCII,
)
_SPACED_THOUSANDS = re.compile(
    r"(?<![\d.,])\d{1,3}(?:\u00a0\d{3}|\u2009\d{3}|\u202f\d{3}| \d{3})+(?![\d.,]\d|\d)"
)
_CLUSTER = regex.compile(r"\P{M}\p{M}*|\p{M}+")
_DENSE = regex.compile(rf"[{_NO_BLANKS}]", regex.V1)
# The parts of a name: letters or digits, and a capital behind a small letter begins another.
_PART = regex.compile(
    r"\p{Lu}\p{M}*(?:\p{Ll}\p{M}*)+|(?:\p{Lu}\p{M}*)+(?!\p{Ll})|(?:[\p{L}--\p{Lu}]\p{M}*)+"
    r"|\p{L}\p{M}*|\p{N}+",
    regex.V1,
)
_PLAIN = regex.compile(r"[\p{L}\p{M}]+|\d+")
_LINE_END = regex.compile(r"-[ \t]*\n[ \t]*")
_GROUPED = regex.compile(r"\d{1,3}(?:[,.']\d{3})+")
# The endings of English and the beginnings of French and Italian words that are words of their own
# only to a machine.
_ELIDED = regex.compile(
    r"^(?:[cdjlmnst]|qu|dell?|all|nell?|dall?|sull?|un)'(?=\w\w)|'(?:s|t|re|ve|ll|d|m)$", regex.I
)


def words(text: str) -> list[str]:
    """The words of a text as written, names whole; runs of a script without blanks in one piece."""
    return _words(prepared(_thousands(text)))


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORD.findall(text)
    return [match.group() for match in _WORD.finditer(text)]


def _thousands(text: str) -> str:
    """Digits that a space groups ("40 000") are one number, as with a comma."""
    return _SPACED_THOUSANDS.sub(lambda found: ",".join(found.group().split()), text)


def entries(text: str, language: str) -> list[str]:
    """Everything a text is indexed under, in order, with repetitions."""
    found: list[str] = []
    for word in words(text):
        found.extend(entries_of(word, language))
    return found


@_kept_while_short
def entries_of(word: str, language: str) -> tuple[str, ...]:
    """What one word is indexed under; ``language`` as in :mod:`languages`."""
    if is_dense(word):
        letters = clusters(word)
        return (*letters, *pairs(letters))
    found: list[str] = []
    whole, parts = taken_apart(word)
    if whole is not None:
        found.append(WHOLE + whole)
        together = joined(whole, parts)
        if together is not None:
            found.append(FOLDED + together)
    if whole is not None and len(parts) == 1 and len(parts[0]) == 1:
        # "C++" is not "C": who asks for the one does not mean the other.
        return (*found, FOLDED + parts[0])
    for part in parts:
        found.extend(_forms(part, language))
    return tuple(found)


def _forms(word: str, language: str) -> Iterator[str]:
    yield word
    stemmed = stem(word, language)
    if stemmed != word:
        yield STEM + stemmed
    yield from (BEGINNING + start for start in beginnings(word, language))
    yield from (FOLDED + bare for bare in bare_forms(word, stemmed))


def bare_forms(word: str, stemmed: str) -> list[str]:
    """The forms of a word without accents, those that differ from it."""
    if word.isascii():
        return []
    forms = dict.fromkeys((folded(word), spelled_out(word), folded(stemmed)))
    return [form for form in forms if form not in ("", word)]


def is_dense(word: str) -> bool:
    """Whether a word is a run of letters of a script that is kept in pairs."""
    return _DENSE.match(word) is not None


def clusters(run: str) -> list[str]:
    """The letters of a run, each with its marks."""
    return list(_CLUSTER.findall(normal(run)))


def pairs(letters: list[str]) -> list[str]:
    """Each two neighbours together."""
    return [first + second for first, second in pairwise(letters)]


@_kept_while_short
def taken_apart(word: str) -> tuple[str | None, tuple[str, ...]]:
    """A name whole and its parts, all in normal form; a simple word has itself as its only part."""
    word = unelided(word)
    if _PLAIN.fullmatch(word):
        return None, tuple(dict.fromkeys((normal(word), *_humps(word))))
    if _LINE_END.search(word):
        return _broken(word)
    parts = tuple(normal(part) for part in _PART.findall(word))
    if not parts:
        return None, () if "_" in word else (word,)  # an emoji, or a line to fill in
    return normal(word), parts


def unelided(word: str) -> str:
    """A word without what is shortened in front of it or behind: "l'hôtel", "what's"."""
    return str(_ELIDED.sub("", word)) if "'" in word else word


def _humps(word: str) -> list[str]:
    """The parts of ``getUserName``; none for a word whose capital is only its first letter."""
    if word.islower() or word.isupper():
        return []
    return [normal(part) for part in _PART.findall(word)]


def _broken(word: str) -> tuple[str | None, tuple[str, ...]]:
    """A word that the end of a line breaks: as if it were not, and its parts."""
    whole, parts = taken_apart(_LINE_END.sub("", word))
    return whole, (*parts, *(normal(part) for part in _LINE_END.split(word) if part))


def joined(whole: str, parts: tuple[str, ...]) -> str | None:
    """A name without what joins its parts: "email", a number without its grouping.

    None when it would be another number ("3.50", "9-17") or is nothing new.
    """
    if len(parts) < 2 or (whole[0].isdigit() and not _GROUPED.fullmatch(whole)):
        return None
    return "".join(parts)
