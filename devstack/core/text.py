"""Words and sentences: what a question asks for, and the pieces an answer is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import Stemmer  # type: ignore[import-not-found]

# Chinese, Japanese and Korean are written without spaces: each of their letters is a word to the
# index. Everywhere else a word has at least two letters or digits.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
WORD_PATTERN = rf"(?u)[{_CJK}]|[^\W{_CJK}]{{2,}}"
_WORD = re.compile(WORD_PATTERN)

# A sentence ends behind its mark (and a quote or bracket closed there) where white space follows;
# full-width marks need none. An empty line ends one whatever it looks like, so a heading is one; a
# single line break is only layout.
_CLOSING = "[\"')\\]»”’」』）]*"
_END = re.compile(rf"(?P<mark>[.!?]){_CLOSING}(?=\s)|[。！？]{_CLOSING}|\n\s*\n")
_FINISHED = re.compile(rf"[.!?。！？:;]{_CLOSING}$")
_LAST_WORD = re.compile(r"[\w.]*$")
_ABBREVIATIONS = frozenset(
    """approx bzw ca cf co corp dept dr e.g ed eds eq est fig figs i.e inc jr ltd mr mrs ms no nos
    nr p pp prof rev sec sr st u.a u.s vgl vol vs z.b""".split()  # noqa: SIM905
)
LONGEST_SENTENCE = 400

# Words of a question that do not name what is asked about. The index has a shorter list of its own;
# this one decides whether a question names anything at all.
FUNCTION_WORDS = frozenset(
    """a about above again all also am an and another any anything are as at be because been before
    being below between both but by can could did do does doing down during each else ever explain
    few for from further give had has have having he her here hers him his how i if in into is
    it its just know let like many may me might more most much must my no nor not of off ok
    okay on once only or other our ours out over please same say says shall she should show so some
    something such tell than thank thanks that the their theirs them then there these they thing
    things this those through to too under until up us very was we well were what when where which
    while who whom whose why will with would yes you your yours""".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage with its white space made single, and the stems of its words.

    ``finished`` tells whether it ends with a mark, as headings and table rows do not.
    """

    text: str
    stems: frozenset[str]
    finished: bool


def words(text: str) -> list[str]:
    """The words of a text in lower case, as the index sees them."""
    return _WORD.findall(text.lower())


def content_words(question: str) -> list[str]:
    """The words of a question that name what is asked about, in order."""
    return [word for word in words(question) if word not in FUNCTION_WORDS]


def stems(text: str) -> frozenset[str]:
    """The stems of a text's words."""
    # A stemmer keeps state and is not safe to share between threads; making one is cheap.
    return frozenset(Stemmer.Stemmer("english").stemWords(words(text)))


def question_terms(question: str, remembered: str | None) -> str:
    """What to look for.

    The question's content words; when it has none ("why?") those of the earlier question in the
    same conversation; without one, all its words, for a document may well be called "The Who".
    """
    own = " ".join(content_words(question))
    return own or remembered or " ".join(words(question))


def sentences(passage: str) -> Iterator[Sentence]:
    """The sentences of a passage. One without an end, as in a table, is cut at a space."""
    start = 0
    for end in (*_ends(passage), len(passage)):
        text = " ".join(passage[start:end].split())
        start = end
        while text:
            head, text = _cut(text)
            yield Sentence(head, stems(head), _FINISHED.search(head) is not None)


def _ends(passage: str) -> Iterator[int]:
    for match in _END.finditer(passage):
        if match["mark"] != "." or not _is_abbreviation(passage, match.start(), match.end()):
            yield match.end()


def _is_abbreviation(passage: str, point: int, end: int) -> bool:
    """Whether the sentence goes on behind this full stop: "Dr. Smith", "e.g. tea", "J. Smith"."""
    rest = passage[end : end + 8].lstrip()
    last = _LAST_WORD.search(passage, max(0, point - 16), point)
    word = last.group() if last else ""
    initial = len(word) == 1 and word.isupper() and word.isalpha()
    return rest[:1].islower() or initial or word.lower() in _ABBREVIATIONS


def _cut(text: str) -> tuple[str, str]:
    if len(text) <= LONGEST_SENTENCE:
        return text, ""
    space = text.rfind(" ", 0, LONGEST_SENTENCE)
    end = space if space > 0 else LONGEST_SENTENCE
    return text[:end], text[end:].lstrip()


def pieces(sentence: str) -> list[str]:
    """A sentence in the pieces it is streamed in; joined they are the sentence again."""
    return re.findall(r"\s*\S{1,24}|\s+", sentence)
