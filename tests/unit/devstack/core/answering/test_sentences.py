"""Sentences, as a reader of each script would call them."""

from __future__ import annotations

import time

import pytest

from devstack.core.answering.sentences import (
    LONGEST_UNFINISHED,
    is_finished,
    is_question,
    refers,
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
        ["ბიბლიოთეკა იხსნება რვაზე.", "შესვლა უფასოა."],
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


@pytest.mark.parametrize(
    "line",
    ["[09:00] anna: when is the ferry", "where is it", "10:02 wo ist das Boot", "Q: can I go"],
)
def test_line_without_a_mark_that_begins_as_a_question_is_one(line: str) -> None:
    """In logs and chats nobody types question marks."""
    assert is_question(line)


@pytest.mark.parametrize(
    "line",
    [
        "09:01 bob: the ferry leaves at noon",
        "When it rains, we stay.",
        "whenever you like",
        "Iscia",
    ],
)
def test_statement_is_no_question(line: str) -> None:
    """Not by how a word begins, and not when it ends as a statement."""
    assert not is_question(line)


def test_sentence_that_begins_with_it_speaks_of_the_one_before() -> None:
    """The thing is named there."""
    assert refers("It was built in 1831.")
    assert refers("Sie wird im Mai geprüft.")
    assert not refers("Italy is large.")


def test_semicolon_is_a_question_mark_in_greek_alone() -> None:
    """Elsewhere it separates."""
    assert not is_question("first;")
    assert not is_finished("no mark")


ROWS = ["...", "?!", "…", "a 1. Mai ", "1. a ", "x \u2028"]


@pytest.mark.parametrize("row", ROWS)
def test_long_rows_of_marks_take_time_by_their_length(row: str) -> None:
    """One file of dots must not keep the core from everything else."""
    short, long = (min(_spent(row * (size // len(row)) + "x") for _ in range(3)) for size in SIZES)
    assert long < short * 64  # by length 16 times, by its square 256 times


SIZES = (1_000, 16_000)


def _spent(text: str) -> float:
    started = time.process_time()
    spans(text)
    return time.process_time() - started
