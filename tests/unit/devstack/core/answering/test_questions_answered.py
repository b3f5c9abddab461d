"""Every question about the cases, and most others, answered right by the core in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.answers.core import Core
from benchmarks.answers.questions import Question, files, load
from benchmarks.answers.report import LEAST_RIGHT
from benchmarks.answers.score import is_right

QUESTIONS = load()
CASES = [question for question in QUESTIONS if question.is_case]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    made = Core(tmp_path_factory.mktemp("answers"), files(QUESTIONS))
    yield made
    made.close()


@pytest.mark.xdist_group("answers")
@pytest.mark.parametrize("asked", CASES, ids=lambda asked: f"{asked.source}-{asked.question[:24]}")
def test_case_is_answered_with_its_text_and_its_place(core: Core, asked: Question) -> None:
    """What the first citation quotes is what is right, in the right file, page and section."""
    answered = core.ask(asked)
    assert is_right(asked, answered.given), answered


@pytest.mark.xdist_group("answers")
def test_most_other_questions_are_answered_right_over_all_files(core: Core) -> None:
    """Also those that were held back while the core was made."""
    others = [question for question in QUESTIONS if not question.is_case]
    wrong = [question for question in others if not is_right(question, core.ask(question).given)]
    assert len(wrong) <= (1 - LEAST_RIGHT) * len(others), wrong
