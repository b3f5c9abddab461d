"""Where sentences begin and end, in any script, and what of them is a question."""

from __future__ import annotations

from collections.abc import Iterator

import regex  # type: ignore[import-untyped]

# A sentence ends behind its mark (and a quote or bracket closed there) where white space follows;
# the marks of scripts that put no blank behind them need none. An empty line ends one whatever it
# looks like; a single line break is only layout.
_CLOSING = "[\"')\\]»”“’‘」』）]*"
# Latin, Arabic, Urdu, Devanagari, Burmese, Ethiopic, Khmer, Armenian.
_SPACED = "[.!?…\u061f\u06d4\u0964\u0965\u104b\u1362\u17d4\u17d5\u0589]"
_UNSPACED = "[。！？｡．]"
# A row of marks is tried once, from its first: a line of dots would take its length squared.
_REPEATED = "[.!?…]"
_END = regex.compile(
    rf"(?P<mark>(?<!{_REPEATED}){_REPEATED}|[{_SPACED}--{_REPEATED}]){_REPEATED}*+{_CLOSING}(?=\s|$)"
    rf"|{_UNSPACED}+{_CLOSING}|(?P<greek>(?<=\p{{Greek}});)(?=\s|$)"
    r"|[\r\n\u2028\u2029\u0085]\s*?(?:[\r\n\u2028\u2029\u0085]\s*)+",
    regex.V1,
)
_INK = regex.compile(r"\S")
_QUESTION = regex.compile(rf"(?:[?？؟⸮\u037e]|(?<=\p{{Greek}});){_CLOSING}\s*$")
_FINISHED = regex.compile(rf"(?:{_SPACED}|{_UNSPACED}|[:;]){_CLOSING}\s*$")
# Georgian has small letters alone.
_SMALL = regex.compile(r"[\p{Ll}--\p{Georgian}]", regex.V1)
_LAST_WORD = regex.compile(r"[\w.]*$")
_ABBREVIATIONS = frozenset(
    """abs approx art bzw ca cf co corp dept dr dz e.g ed eds eq est etc fig figs i.e inc jr ltd max
    min mio mr mrs ms mme mlle mt nbr no nos nr p pp prof r rev s sec sig sra sr st str tel u.a u.s
    vgl vol vs z.b z.t zzgl д г гг кв руб т.е т.д ул стр тыс""".split()  # noqa: SIM905
)
_MONTHS = regex.compile(
    r"(?:Jan|Feb|Mär|Mar|Apr|Mai|Maj|Jun|Jul|Aug|Sep|Okt|Oct|Nov|Dez|Dec)\p{Ll}*|Stock|Etage"
    r"|Jahrhundert|Klasse"
)
# In a log or a chat questions have no mark, but begin as one, behind a time or a name.
_ASKS = regex.compile(
    r"^(?:[\[(]?[\d:.,\- ]+[\])]?\s+)?(?:\p{Lu}?[\p{L}\d_.]{1,20}:\s+)?"
    r"(?:and |but |so |und |et |y |и )?"
    r"(?:(?:who|whom|whose|what|which|when|where|why|how|wer|wann|wo|woher|wohin|warum|wieso|welche[nmrs]?"
    r"|qui|quand|où|pourquoi|comment|combien|quelle?s?|quién|qué|cuándo|dónde|cómo|cuánt[oa]s?|cuál"
    r"|chi|dove|quanto|quem|onde|wanneer|waar|waarom|hoe|vem|vad|när|varför|hur|hvem|hvad|hvornår"
    r"|hvorfor|kto|kiedy|gdzie|dlaczego|ile|кто|когда|где|куда|почему|зачем|сколько|хто|коли|чому"
    r"|скільки|ποιος|πότε|πού|γιατί|πώς|is|are|was|were|do|does|did|can|could|may|will|should)\s"
    r"|est-ce\s)",
    regex.I,
)
MOST_WORDS_ASKED = 14
# A sentence that begins so speaks of what the one before it named.
_REFERS = regex.compile(
    r"(?:it|they|he|she|this|these|that|er|sie|es|dies|diese[rs]?|il|elle|ils"
    r"|elles|ce|cela|él|ella|ellos|ellas|esto|este|esta|esso|essa|ele|ela|isto|hij|zij|het|dit|deze"
    r"|den|det|hon|han|de|ono|ona|on|oni|он|она|оно|они|это|він|вона|воно|вони|це|αυτό|αυτός|αυτή)\b",
    regex.I,
)
# One without a mark, as in a list of words, is cut at a space; one with its mark is quoted whole.
LONGEST_UNFINISHED = 400
LONGEST_SENTENCE = 4_000


def spans(text: str) -> list[tuple[int, int]]:
    """The sentences of a text, as start and end without the white space around them."""
    found: list[tuple[int, int]] = []
    start = 0
    for end in (*_ends(text), len(text)):
        found.extend(_cut(text, *_stripped(text, start, end)))
        start = end
    return found


def is_question(sentence: str) -> bool:
    """Whether a sentence ends with a question mark of any script, or begins as one and has none."""
    if _QUESTION.search(sentence) is not None:
        return True
    short = len(sentence.split()) <= MOST_WORDS_ASKED
    return short and _ASKS.match(sentence) is not None and not is_finished(sentence)


def refers(sentence: str) -> bool:
    """Whether a sentence begins by speaking of what the one before it named: "It was built …"."""
    return _REFERS.match(sentence) is not None


def is_finished(sentence: str) -> bool:
    """Whether it ends with a mark, as headings and the rows of tables do not."""
    return _FINISHED.search(sentence) is not None


def _ends(text: str) -> Iterator[int]:
    start = _ink(text, 0)
    for match in _END.finditer(text):
        if match["mark"] == "." and _goes_on(text, start, match.start(), match.end()):
            continue
        start = _ink(text, match.end())
        yield match.end()


def _ink(text: str, start: int) -> int:
    """Where the white space that begins here ends."""
    found = _INK.search(text, start)
    return found.start() if found else len(text)


def _goes_on(text: str, start: int, point: int, end: int) -> bool:
    """Whether the sentence goes on behind this full stop: "Dr. Smith", "e.g. tea", "3. Mai"."""
    rest = text[end : end + 16].lstrip()
    last = _LAST_WORD.search(text, max(start, point - 16), point)
    word = last.group() if last else ""
    if word.isdigit() and len(word) <= 3:
        # The number of a step, or an ordinal.
        stands_first = _INK.search(text, start, point - len(word)) is None
        return stands_first or _MONTHS.match(rest) is not None
    initial = len(word) == 1 and word.isupper() and word.isalpha()
    return _SMALL.match(rest) is not None or initial or word.casefold() in _ABBREVIATIONS


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """Without a copy of the text, which may be long and is cut again and again."""
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    limit = LONGEST_SENTENCE if is_finished(text[start:end]) else LONGEST_UNFINISHED
    while end - start > limit:
        space = text.rfind(" ", start + 1, start + limit)
        middle = space if space > 0 else start + limit
        yield start, middle
        start, _ = _stripped(text, middle, end)
    if start < end:
        yield start, end
