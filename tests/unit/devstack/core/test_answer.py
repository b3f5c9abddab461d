"""The extractive answer: its sentences, and citations that point at them exactly."""

from __future__ import annotations

import pytest

from devstack.core.answer import Citation, Token, choose, extract
from devstack.core.index import Hit
from devstack.core.text import LONGEST_SENTENCE, pieces, question_terms, sentences


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


def test_sentences_know_abbreviations_paragraphs_and_full_width_marks() -> None:
    """A sentence is what a reader would call one."""
    text = "Dr. J. Smith paid 3.50 EUR, e.g.\nfor tea. (He left.) So?\n\nA heading\n\n"
    text += "绿茶很好。红茶也好。"
    assert [sentence.text for sentence in sentences(text)] == [
        "Dr. J. Smith paid 3.50 EUR, e.g. for tea.",
        "(He left.)",
        "So?",
        "A heading",
        "绿茶很好。",
        "红茶也好。",
    ]


def test_endless_sentence_is_cut_at_a_space() -> None:
    """A table without marks does not become one endless citation."""
    cut = [sentence.text for sentence in sentences("cell " * 300)]
    assert len(cut) > 1
    assert all(len(text) <= LONGEST_SENTENCE for text in cut)
    assert " ".join(cut) == " ".join(["cell"] * 300)


def test_question_terms_are_its_content_words() -> None:
    """Words that only hold a question together are not looked for."""
    assert question_terms("What is the boiling point of water?", None) == "boiling point water"


def test_follow_up_without_content_words_takes_the_earlier_terms() -> None:
    """ "And why is that?" is about what was asked before, but only then."""
    assert question_terms("And why is that?", "boiling water") == "boiling water"
    assert question_terms("And ice?", "boiling water") == "ice"
    assert question_terms("Who?", None) == "who"
