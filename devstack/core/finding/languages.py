"""What the language of a text changes: stems, and the words that say nothing.

A language is its ISO 639-1 code. It is recognised once for a document: by its script, by its
function words, and where neither is plain by py3langid. A question is too short for that, so its
words are stemmed in each language that its owner's documents have.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable
from functools import lru_cache

import regex  # type: ignore[import-untyped]
import Stemmer  # type: ignore[import-not-found]

from devstack.core.finding.function_words import FUNCTION_WORDS
from devstack.core.finding.normal_form import prepared

UNKNOWN = "en"
NO_LANGUAGE = "zxx"  # data, code
SAMPLE_CHARS = 3_000
# Of a word in a language that has endings, but no stemmer here.
LONGEST_ENDING, LEAST_LETTERS = 3, 5

_STEMMERS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek",
    "en": "english", "es": "spanish", "eu": "basque", "fi": "finnish", "fr": "french",
    "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian",
    "nb": "norwegian", "nn": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish",
}  # fmt: skip
# "And", "the", "in", "to" and others are written as one letter in front of a word.
_HEBREW_PREFIX = regex.compile(r"^[והבכלמש]{1,2}(?=\w{4})")
_NO_ENDINGS = frozenset(("zh", "ja", "ko", "th", "lo", "km", "my", "vi", "he"))
_LETTERS = regex.compile(r"\p{L}{2}")
_LETTER = regex.compile(r"\p{L}")
_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*")
_SCRIPTS = regex.compile(
    r"(?P<el>\p{Greek})|(?P<he>\p{Hebrew})|(?P<hy>\p{Armenian})|(?P<ta>\p{Tamil})|(?P<th>\p{Thai})"
    r"|(?P<lo>\p{Lao})|(?P<km>\p{Khmer})|(?P<my>\p{Myanmar})|(?P<bn>\p{Bengali})"
    r"|(?P<ko>\p{Hangul})|(?P<ja>[\p{Hiragana}\p{Katakana}])|(?P<zh>\p{Han})"
)
# So many function words, so many times as many as of the next language, are plain.
PLAIN_WORDS, PLAIN_RATIO = 4, 2.0
# A stemmer keeps state: one for each thread.
_local = threading.local()


def language_of(text: str) -> str:
    """The language of a text, from its beginning; ``UNKNOWN`` when it has no words."""
    sample = text[:SAMPLE_CHARS]
    if _LETTERS.search(sample) is None:
        return UNKNOWN
    return _by_script(sample) or _by_function_words(sample) or _by_model(sample)


def _by_script(sample: str) -> str | None:
    """The language of a script that only one language here is written in."""
    scripts = Counter(match.lastgroup or "" for match in _SCRIPTS.finditer(sample))
    script, letters = max(scripts.items(), key=lambda item: item[1], default=("", 0))
    if letters * 2 < len(_LETTER.findall(sample)):
        return None
    # Japanese has both.
    return "ja" if scripts["ja"] * 10 > letters and script == "zh" else script


def _by_function_words(sample: str) -> str | None:
    """The language whose function words are there, when it is plain which one."""
    words = Counter(_WORD.findall(prepared(sample).casefold()))
    counts = {
        language: sum(words[word] for word in _of(language) if word in words)
        for language in FUNCTION_WORDS
    }
    (language, most), (_, second) = Counter(counts).most_common(2)
    return language if most >= PLAIN_WORDS and most >= PLAIN_RATIO * second else None


@lru_cache(maxsize=512)
def _by_model(sample: str) -> str:
    # Imported when it is needed: its model takes half a second to load and 100 MB to keep.
    import py3langid  # type: ignore[import-untyped]

    language = str(py3langid.classify(sample)[0])
    return UNKNOWN if language == NO_LANGUAGE else language


def stem(word: str, language: str) -> str:
    """The stem of a normal word; the word where its language has no stemmer."""
    if language == "he":
        return str(_HEBREW_PREFIX.sub("", word))
    name = _STEMMERS.get(language)
    if name is None or len(word) < 3 or not word[0].isalpha():
        return word
    return str(_stemmer(name).stemWord(word))


def _stemmer(name: str) -> Stemmer.Stemmer:
    known = _local.__dict__
    if name not in known:
        known[name] = Stemmer.Stemmer(name)
    return known[name]


def beginnings(word: str, language: str) -> list[str]:
    """A long word without its last one, two and three letters, where there is no stemmer for it.

    Two forms of a word share one of these or are one, unless they are of very different length.
    """
    if language in _STEMMERS or language in _NO_ENDINGS or not word.isalpha():
        return []
    return [word[:-cut] for cut in range(1, LONGEST_ENDING + 1) if len(word) - cut >= LEAST_LETTERS]


def function_words(words: Collection[str], languages: Iterable[str]) -> frozenset[str]:
    """The words of a question that hold it together and do not name what is asked about.

    Its language is the one whose function words it has most of; of several, the first of
    ``languages``, then English. "die" is an article in a German question and a verb in an English
    one.
    """
    order = dict.fromkeys((*languages, UNKNOWN, *FUNCTION_WORDS))
    known = [_of(language) for language in order]
    return frozenset(max(known, key=lambda entries: sum(word in entries for word in words)))


def is_function_word(word: str, languages: Iterable[str]) -> bool:
    """Whether a word holds sentences together in one of these languages, or in English."""
    return any(word in _of(language) for language in (*languages, UNKNOWN))


@lru_cache(maxsize=64)
def _of(language: str) -> frozenset[str]:
    return frozenset(FUNCTION_WORDS.get(language, "").split())
