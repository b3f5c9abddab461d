"""Sentences, as a reader of each script would call them."""

from __future__ import annotations

import pytest

from devstack.core.answering.sentences import (
    LONGEST_UNFINISHED,
    is_finished,
    is_question,
    spans,
)


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in spans(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["Dr. J. Smith paid 3.50 EUR, e.g.\nfor tea.", "(He left.)", "So?"],
        ["Am 3. Mai kam er.", "Die Miete beträgt z.B. 950 Euro.", "„Nein.“", "Doch!"],
        ["दिल्ली भारत की राजधानी है।", "गंगा नदी है।"],
        ["تغلق المكتبة يوم الجمعة.", "متى تفتح؟", "غدا."],
        ["کتاب یہ ہے۔", "یہ نہیں۔"],
        ["Πού είναι;", "Εδώ είναι."],
        ["1. Check the anchor.", "2. Lower the sail."],
        ["ចូល។", "ចេញ។"],
        ["It ended in 1831.", "Then it began…", "Why?!"],
    ],
)
def test_sentences_end_where_a_reader_stops(expected: list[str]) -> None:
    """The marks of each script end one; abbreviations, ordinals and numbers of steps do not."""
    assert sentences(" ".join(expected)) == expected


def test_full_width_marks_need_no_blank_and_an_empty_line_ends_anything() -> None:
    """Chinese and Japanese have none behind a sentence; a heading in a text has no mark."""
    assert sentences("A heading\n\n绿茶很好。红茶也好！「はい。」") == [
        "A heading",
        "绿茶很好。",
        "红茶也好！",
        "「はい。」",
    ]


def test_endless_list_of_words_is_cut_at_a_space_and_a_long_sentence_is_not() -> None:
    """A table without marks does not become one endless citation, but a sentence is said whole."""
    cut = sentences("cell " * 300)
    assert len(cut) > 1
    assert all(len(text) <= LONGEST_UNFINISHED for text in cut)
    assert " ".join(cut) == " ".join(["cell"] * 300)
    assert len(sentences("word " * 300 + "ends here.")) == 1


@pytest.mark.parametrize("text", ["Why?", "为什么？", "لماذا؟", "Πού;", 'He said "why?"'])
def test_questions_are_known_in_any_script(text: str) -> None:
    """A question in a document is not an answer."""
    assert is_question(text)


def test_semicolon_is_a_question_mark_in_greek_alone() -> None:
    """Elsewhere it separates."""
    assert not is_question("first;")
    assert not is_finished("no mark")
