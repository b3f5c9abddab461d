"""The scorer of the answers, and what the questions promise."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.answers.core import Answered
from benchmarks.answers.questions import CASES, DOCUMENTS, Question, files, load
from benchmarks.answers.report import document, faults, markdown, printed
from benchmarks.answers.score import Given, is_right
from benchmarks.digest import ANSWERS, CHECKOUT

ASKED = Question("a.md", "table", "en", "?", ("Bellows", "95 EUR"), ("99",), 2, "Prices")
RIGHT = Given("Bellows · 95 EUR\n · 4 kg", "a.md", 2, ("Shop", "Prices"))


def test_right_is_the_right_text_in_the_right_place() -> None:
    """Layout and Markdown's marks are no part of what is said."""
    assert is_right(ASKED, RIGHT)
    assert is_right(ASKED, replace(RIGHT, text="| `Bellows` |  **95**\u00a0EUR |"))


@pytest.mark.parametrize(
    "given",
    [
        None,
        replace(RIGHT, text="95 EUR · Bellows"),
        replace(RIGHT, text="Bellows · 95 EUR, not 99"),
        replace(RIGHT, source="b.md"),
        replace(RIGHT, page=3),
        replace(RIGHT, sections=("Shop",)),
    ],
)
def test_anything_else_is_wrong(given: Given | None) -> None:
    """Another order, what must not be said, another file, page or section."""
    assert not is_right(ASKED, given)


def test_questions_are_as_many_and_as_different_as_the_page_says() -> None:
    """At least 120 beside the cases, over 60 files, in 15 languages and all five formats."""
    questions = load()
    others = [question for question in questions if not question.is_case]
    assert len(others) >= 120
    assert len(files(questions)) >= 60
    assert len({question.language for question in others}) >= 15
    formats = {question.source.rsplit(".", 1)[1] for question in others}
    assert formats == {"txt", "md", "html", "docx", "pdf"}
    held_back = sum(question.held_back for question in others)
    assert held_back * 3 >= len(others)


def test_every_question_has_its_file_and_is_asked_once() -> None:
    """A file of another name would be an answer that nobody can give."""
    questions = load()
    for question in questions:
        folder = CASES if question.is_case else DOCUMENTS
        assert (folder / question.source).is_file(), question.source
    asked = Counter((question.source, question.question) for question in questions)
    assert [pair for pair, times in asked.items() if times > 1] == []


def test_documentation_has_the_committed_figures() -> None:
    """The page's table is the result's, which is above its bars with LlamaIndex beside it."""
    result = json.loads((ANSWERS / "answers.json").read_text("utf-8"))
    page = (CHECKOUT / "docs" / "answers.md").read_text("utf-8")
    assert markdown(result) in page
    assert result["others"]["llama_index"] is not None
    assert faults(result) == []


def test_report_counts_by_kind_and_tells_what_is_below_the_bar() -> None:
    """Cases must all be right; the others mostly, and clearly more often than LlamaIndex's."""
    questions = [ASKED, replace(ASKED, kind="case"), replace(ASKED, held_back=True)]
    right, wrong = Answered(RIGHT, "", 0.001), Answered(None, "", 0.002)
    result = document(questions, [right, wrong, right], [RIGHT, None, None], files=1)
    assert result["cases"] == {"questions": 1, "core": 0.0, "llama_index": 0.0}
    assert result["others"] == {"questions": 2, "core": 1.0, "llama_index": 0.5}
    assert result["held_back"] == {"questions": 1, "core": 1.0, "llama_index": 0.0}
    assert faults(result) == ["cases: 0.000 right, all are expected"]
    assert "kind: table" in printed(result)
    alone = document(questions, [wrong, wrong, wrong], None, files=1)
    assert alone["others"]["llama_index"] is None
    assert len(faults(alone)) == 2
