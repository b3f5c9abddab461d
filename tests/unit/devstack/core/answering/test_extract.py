"""The extractive answer: its sentences, and citations that point at them exactly."""

from __future__ import annotations

from typing import Any

import pytest

from devstack.core.answering import extract as extract_module
from devstack.core.answering.extract import Citation, Token, choose, extract, pieces
from devstack.core.index import Hit
from devstack.core.reading.blocks import Block, Kind
from devstack.core.reading.nodes import Passage


def hit(text: str, score: float = 1.0) -> Hit:
    return Hit("id", "notes.txt", "id:0", None, text, score)


def told(terms: str, *texts: str) -> tuple[str, list[Citation]]:
    """The answer's text and its citations."""
    parts = list(extract(terms, [hit(text) for text in texts]))
    answer = "".join(part.text for part in parts if isinstance(part, Token))
    return answer, [part for part in parts if isinstance(part, Citation)]


def test_answer_quotes_the_sentence_that_holds_the_terms() -> None:
    """The best sentence goes first, word for word."""
    answer, citations = told(
        "lighthouse built",
        "Bread is made of flour. It rises overnight.",
        "The harbour is old. The lighthouse was built by Sostratus. Ships pass it.",
    )
    assert answer == "The lighthouse was built by Sostratus."
    assert citations == [Citation(1, 0, len(answer))]


def test_citations_are_code_point_offsets_of_their_sentences() -> None:
    """Each citation follows its sentence, and its span is that sentence, emoji or not."""
    texts = ("Tea 🍵 is green. Nothing here.", "Tea “Café” ☕ is black.")
    parts = list(extract("tea", [hit(text) for text in texts]))
    answer, spans = "", []
    for part in parts:
        if isinstance(part, Token):
            answer += part.text
        else:
            assert part.end == len(answer)
            spans.append((part.source, answer[part.start : part.end]))
    assert sorted(spans) == [(0, "Tea 🍵 is green."), (1, "Tea “Café” ☕ is black.")]


def test_sentence_in_two_overlapping_passages_is_said_once() -> None:
    """Chunks overlap; answers do not."""
    answer, citations = told("tea", "Tea is green.", "Tea is green. Bread is white.")
    assert answer == "Tea is green."
    assert [citation.source for citation in citations] == [0]


def test_heading_gives_way_to_the_sentence_below_it() -> None:
    """A heading repeats the question; what it announces is the answer."""
    answer, _ = told("refund policy", "Refund policy\n\nThe refund is paid within thirty days.")
    assert answer.startswith("The refund is paid within thirty days.")


def test_rare_terms_weigh_more_than_common_ones() -> None:
    """The word that only one sentence has tells more than the one all have."""
    answer, _ = told(
        "tea temperature",
        "Tea is a drink. Tea comes from Asia. Its temperature is eighty degrees. Tea is good.",
    )
    assert answer.startswith("Its temperature is eighty degrees.")


def test_inflected_words_count() -> None:
    """Terms are compared by their stems, as the index does."""
    answer, _ = told("steeping", "It is hot. Tea was steeped for long.")
    assert answer == "Tea was steeped for long."


def test_passage_without_any_sentence_for_the_terms_is_still_quoted() -> None:
    """There is a source, so there is an answer."""
    assert len(choose("nothing", [hit("Tea is green. Bread is white.")])) == 1


@pytest.mark.parametrize("text", ["", "word", "a  b\nc", "x" * 100, " lead", "naïve “x” 🍵!"])
def test_pieces_are_the_sentence_again(text: str) -> None:
    """Nothing is lost or added by streaming piece by piece."""
    assert "".join(pieces(text)) == text


def passage(*blocks: Block, document: str = "id", filename: str = "notes.txt") -> Hit:
    made = Passage(blocks)
    return Hit(document, filename, f"{document}:0", None, made.text, 1.0, made.section, blocks)


def quotes(terms: str, *hits: Hit) -> list[str]:
    """What the answer cites, in order."""
    parts = list(extract(terms, hits))
    answer = "".join(part.text for part in parts if isinstance(part, Token))
    return [answer[part.start : part.end] for part in parts if isinstance(part, Citation)]


def heading(text: str, *above: str) -> Block:
    return Block(Kind.HEADING, text, section=(*above, text), level=1 + len(above))


def below(text: str, *section: str, kind: Kind = Kind.PARAGRAPH, lead_in: str = "") -> Block:
    return Block(kind, text, section=section, lead_in=lead_in)


RENEW, CANCEL = "How do I renew my card?", "How do I cancel my card?"


def test_question_in_a_document_is_context_and_what_follows_is_the_answer() -> None:
    """Who asks what the document asks is not answered with the question."""
    found = quotes(
        "renew card",
        passage(heading(RENEW), below("Go to the desk. Bring the old one.", RENEW)),
        passage(heading(CANCEL), below("Write to the office.", CANCEL)),
    )
    assert found == ["Go to the desk. Bring the old one."]


def test_question_within_a_paragraph_is_answered_by_the_next_sentence() -> None:
    """The same in a text without headings."""
    text = f"{RENEW} Go to the desk. {CANCEL} Write to the office."
    assert quotes("cancel card", passage(below(text)))[0] == "Write to the office."


ROWS = (
    Block(Kind.TABLE_HEADER, "Room · Jan · Feb", cells=("Room", "Jan", "Feb")),
    Block(
        Kind.TABLE_ROW, "Aula · 10 · 10", cells=("Aula", "10", "10"), header=("Room", "Jan", "Feb")
    ),
    Block(
        *(Kind.TABLE_ROW, "Barn · (empty) · 7"),
        cells=("Barn", "", "7"),
        header=("Room", "Jan", "Feb"),
    ),
)


def test_row_is_quoted_with_its_header_above_it() -> None:
    """A figure without its column says nothing."""
    answer = "".join(p.text for p in extract("Barn Feb", [passage(*ROWS)]) if isinstance(p, Token))
    assert answer == "Room · Jan · Feb\nBarn · (empty) · 7"
    assert quotes("Barn Feb", passage(*ROWS)) == ["Barn · (empty) · 7"]


def test_list_is_quoted_whole_when_its_lead_in_is_what_was_asked() -> None:
    """What to bring is all of it; a question about one item gives that item."""
    lead = "For a permit bring:"
    items = [below(text, kind=Kind.LIST_ITEM, lead_in=lead) for text in ("passport", "proof")]
    listed = passage(below(lead), *items)
    assert quotes("permit bring", listed) == ["For a permit bring:\npassport\nproof"]
    steps = [below(text, "Anchoring", kind=Kind.LIST_ITEM) for text in ("1. Check it.", "2. Row.")]
    assert quotes("anchoring", passage(*steps)) == ["1. Check it.\n2. Row."]
    assert quotes("anchoring 2", passage(*steps))[0] == "2. Row."


def test_documents_that_disagree_are_both_cited_with_their_section() -> None:
    """Two years' opening hours: the reader is to see that there are two, and where."""
    old = passage(below("We open at nine.", "In 2023"), document="a", filename="old.md")
    new = passage(below("We open at ten.", "In 2024"), document="b", filename="new.md")
    parts = list(extract("open", [old, new]))
    answer = "".join(part.text for part in parts if isinstance(part, Token))
    assert answer == "old.md, In 2023: We open at nine.\nnew.md, In 2024: We open at ten."
    assert [part.source for part in parts if isinstance(part, Citation)] == [0, 1]
    assert quotes("open 2024", old, new) == ["We open at ten."]


def test_quotation_is_the_files_own_characters() -> None:
    """White space, ligatures and marks of names stay as they stand there."""
    text = "Set `__init__` in the oﬃce\n  before mainte\u00adnance."
    assert quotes("__init__ office", passage(below(text))) == [text]


def test_line_of_a_chat_that_asks_the_same_is_not_the_answer() -> None:
    """What the next one says is."""
    lines = ("10:00 ann: when does the market open", "10:01 bea: the market opens at seven")
    assert quotes("market open", passage(*map(below, lines))) == [lines[1]]
    items = [below(text, kind=Kind.LIST_ITEM) for text in ("How do I mute it?", "Press twice.")]
    assert quotes("mute", passage(*items)) == ["Press twice."]


def test_sentence_that_speaks_of_the_one_before_is_quoted_with_it() -> None:
    """ "It" is what was asked about, and says nothing alone."""
    text = "Tea is hot. The first aid box hangs in the galley. It is checked on Mondays."
    assert quotes("often first aid box checked", passage(below(text))) == [
        "The first aid box hangs in the galley. It is checked on Mondays."
    ]


def test_item_is_quoted_with_the_items_below_it() -> None:
    """What is said of it stands there."""
    listed = [
        Block(Kind.LIST_ITEM, text, level=level)
        for text, level in (("Boats", 1), ("are washed", 2), ("are tied", 2), ("Cars", 1))
    ]
    assert quotes("boats", passage(*listed)) == ["Boats\nare washed\nare tied"]


def test_piece_is_asked_only_about_the_words_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question may have thousands of words, and the passages thousands of sentences."""
    weigh, weighed = extract_module._Asked.best, []

    def counted(asked: Any, entries: Any) -> float:
        weighed.append(asked)
        return weigh(asked, entries)

    monkeypatch.setattr(extract_module._Asked, "best", counted)
    letters = "".join(chr(0x4E00 + n) for n in range(4_000))
    sentences = [letters[n : n + 3] for n in range(0, 3_000, 3)]
    chosen = choose(letters, [hit("。".join(sentences) + "。")])
    assert len(chosen) == 3
    assert len(weighed) < 20 * len(sentences)


def test_what_is_asked_now_counts_more_than_what_was_asked_before() -> None:
    """Words of earlier questions tell what is spoken of; alone they are all there is."""
    told = "The warranty of the lamp lasts nineteen months. The lamp weighs 812 grams."
    now, *_ = choose("weigh warranty lamp", [hit(told)], "What does it weigh?")
    assert told[now.start : now.end] == "The lamp weighs 812 grams."
    before, *_ = choose("warranty lamp", [hit(told)], "Why?")
    assert told[before.start : before.end].startswith("The warranty")
