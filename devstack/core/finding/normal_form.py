"""One normal form of text, so that what looks the same to a reader is the same to the index.

Two steps: :func:`prepared` works on a whole text and keeps its case, because names like
``getUserName`` are taken apart by it; :func:`normal` works on a word. :func:`folded` is the second,
weaker form, in which accents and vowel points are gone.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import lru_cache

import regex  # type: ignore[import-untyped]

# What a reader does not see: soft hyphens, zero-width characters, marks of writing direction,
# variation selectors.
_INVISIBLE = regex.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
# Apostrophes and hyphens have several code points that readers do not tell apart, and every script
# has digits of its own.
_ALIKE = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u02b9": "'", "\u2010": "-", "\u2011": "-"}
    | {
        chr(point): str(unicodedata.decimal(chr(point)))
        for point in range(0x660, sys.maxunicode + 1)
        if unicodedata.category(chr(point)) == "Nd"
    }
)
# Accents of Latin, Greek and Cyrillic; points of Hebrew; vowels of Arabic and its letter that only
# stretches a word; the dot that Hindi writes or leaves out. Vowel signs of Indic scripts, Thai and
# others are no accents: without them it is another word.
_ACCENTS = regex.compile(
    "[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u093c]"
)
# Letters that differ by a stroke, which is no accent to Unicode, and Arabic letters that are
# written one for the other.
_STROKES = str.maketrans(
    {"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe"}
    | {"þ": "th", "ə": "e", "\u0671": "ا", "ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه"}
)
# How German and the languages of the north write their letters where there is no such key.
_SPELLED_OUT = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae", "œ": "oe"}
)


def prepared(text: str) -> str:
    """A text in compatible composed form (NFKC), without what cannot be seen."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).translate(_ALIKE)


def normal(word: str) -> str:
    """A prepared word as the index has it: no case, composed."""
    if word.isascii():
        return word.lower()
    # "İ" in lower case is an i with one more dot, which no Turkish reader would type.
    lower = word.casefold().replace("i\u0307", "i")
    return unicodedata.normalize("NFKC", lower)


def folded(word: str) -> str:
    """A normal word without accents and vowel points; the same word when it has none."""
    if word.isascii():
        return word
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", word)).translate(_STROKES)
    return unicodedata.normalize("NFC", bare)


def spelled_out(word: str) -> str:
    """A normal word with its umlauts as two letters: "mueller"."""
    return word if word.isascii() else folded(word.translate(_SPELLED_OUT))


@lru_cache(maxsize=4096)
def squeezed(text: str) -> str:
    """A text by which copies are known: prepared, without case, white space single."""
    return " ".join(prepared(text).casefold().split())
