"""What is said when a summary is asked for and no model is there to write one: the outline."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import regex  # type: ignore[import-untyped]

from devstack.core.answering.extract import Citation, Token, pieces
from devstack.core.answering.sentences import spans
from devstack.core.finding.normal_form import folded, normal
from devstack.core.finding.passages import name_of
from devstack.core.finding.wanted import content_words
from devstack.core.finding.words import words
from devstack.core.index import Hit
from devstack.core.reading.blocks import Kind

WITHOUT_MODEL = (
    "I can quote your documents, but no language model is set up here that could sum them up."
    " This is what stands in them:"
)
LONGEST_LINE = 200

# A word that begins like this asks for a summary; what remains of the question may only name what
# is to be summed up.
_SUMMARY = regex.compile(
    r"(?:summar|overview|outline|gist|recap|tldr|zusammen|uberblick|resum|sintesi|riassu|sintetiz"
    r"|samenvat|overzicht|sammanfatt|sammenfat|oppsummer|tiivist|yhteenveto|osszefogl|streszcz"
    r"|podsumow|shrn|souhrn|rezum|ringkas|rangkum|ozet|кратк|перескаж|резюм|итог|підсум|обобщ"
    r"|περιληψ|συνοψ|ملخص|لخص|تلخيص|خلاصه|תקציר|סכם|סיכום|सारांश|संक्षेप)"
    r".*|.*(?:总结|總結|概括|摘要|概要|要約|まとめ|요약|สรุป|ສະຫຼຸບ|សង្ខេប).*"
)
_NAMES_A_DOCUMENT = regex.compile(
    r"docum\w*|dokum\w*|docs?|files?|filen|filer|texts?|texte[ns]?|textos?|testo|contents?|contenu"
    r"|contenido|contenuto|conteudo|pages?|pdfs?|uploads?|datei(?:en)?|inhalte?s?|fichiers?"
    r"|archivos?|arquivos?|bestand(?:en)?|asiakirj\w*|tiedosto\w*|plik\w*|soubor\w*|dosya\w*"
    r"|belge(?:yi|ler|nin)?|metin|документ\w*|файл\w*|текст\w*|εγγραφ\w*|αρχει\w*"
    r"|(?:ال)?(?:مستند|ملف|وثيقه)|ה?(?:מסמך|קובץ)|दस्तावेज\S*|फाइल|फ़ाइल"
    r"|(?:这|這|此|この|이)?(?:份|个|個)?(?:文件|文档|文檔|文書|문서|เอกสาร)\S{0,2}"
)
# What else such a question is made of.
_ASKS = frozenset(
    folded(word)
    for word in """main key points point bullet short brief make write fasse fass gib fais donne haz
    dame fammi faz geef ge gör lag tee zrób сделай напиши дай yap ver""".split()  # noqa: SIM905
)
_TOO_LONG = regex.compile(r"\btl;?dr\b", regex.I)


def summary_of(question: str) -> frozenset[str] | None:
    """The words that name what is to be summed up, () for everything; None for other questions.

    "Summarise the handbook" gives ``handbook``; whether there is such a file is for the caller.
    """
    asked = [folded(normal(word)) for word in content_words(_TOO_LONG.sub("summary", question))]
    others = [word for word in asked if not _SUMMARY.fullmatch(word)]
    named = frozenset(word for word in others if not _NAMES_A_DOCUMENT.fullmatch(word)) - _ASKS
    is_one = len(others) < len(asked) or (bool(asked) and not named)
    return named if is_one else None


def is_named(filename: str, named: Collection[str]) -> bool:
    """Whether a file's name has all of these words."""
    return set(named) <= {folded(normal(word)) for word in _names(filename)}


def _names(filename: str) -> Iterator[str]:
    for word in words(name_of(filename)):
        yield from regex.split(r"[\W_]+", word)


def outline(hits: Sequence[Hit]) -> Iterator[Token | Citation]:
    """What the core can do, then a line for each section, with its citation."""
    position = 0
    document = None
    for source, hit in enumerate(hits):
        before = "" if source else WITHOUT_MODEL
        if hit.document_id != document:
            document = hit.document_id
            before += f"\n{hit.filename}"
        before += f"\n{'  ' * max(0, len(hit.section) - 1)}– "
        start, end = _line(hit)
        for piece in pieces(before) + pieces(hit.text[start:end]):
            yield Token(piece)
        position += len(before) + end - start
        yield Citation(source, position - (end - start), position)


def _line(hit: Hit) -> tuple[int, int]:
    """What of a passage tells what it is about: its heading, else how it begins."""
    start = 0
    for block in hit.blocks:
        if block.kind == Kind.HEADING and block.section == hit.section:
            return start, start + len(block.text)
        start += len(block.text) + 1
    found = spans(hit.text)
    start, end = found[0] if found else (0, len(hit.text))
    return start, min(end, start + LONGEST_LINE)
