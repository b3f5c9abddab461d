"""Whether an answer is right: text and place are compared, and nothing else is known here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.answers.questions import Question

# White space, the marks between cells, and Markdown's own marks differ between systems, and are
# no part of what is said.
_LAYOUT = re.compile(r"[\s·|`*]+")


@dataclass(frozen=True, slots=True)
class Given:
    """What a system answered at rank 1: the text, and where it says that it stands.

    ``sections`` are texts that name the section: its headings, or whatever a system has of them.
    """

    text: str
    source: str
    page: int | None
    sections: tuple[str, ...]


def is_right(question: Question, given: Given | None) -> bool:
    """Whether the right text was given with the right place."""
    return given is not None and has_text(question, given) and has_place(question, given)


def has_text(question: Question, given: Given) -> bool:
    """Whether all expected pieces are there, in order, and none that must not be."""
    text = comparable(given.text)
    position = 0
    for piece in map(comparable, question.expected):
        found = text.find(piece, position)
        if found < 0:
            return False
        position = found + len(piece)
    return not any(comparable(piece) in text for piece in question.absent)


def has_place(question: Question, given: Given) -> bool:
    """Whether file, page and section are right, as far as the question asks for them."""
    if given.source != question.source:
        return False
    if question.page is not None and given.page != question.page:
        return False
    section = question.section
    return section is None or any(comparable(section) in comparable(s) for s in given.sections)


def comparable(text: str) -> str:
    """A text with its layout reduced to single blanks."""
    return _LAYOUT.sub(" ", text).strip()


def share(questions: Sequence[Question], given: Sequence[Given | None]) -> float:
    """How many of these are answered right, from 0 to 1."""
    right = [is_right(q, g) for q, g in zip(questions, given, strict=True)]
    return sum(right) / len(right) if right else 0.0
