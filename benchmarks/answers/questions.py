"""The questions, and the files that they are asked about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
QUESTIONS = HERE / "questions.json"
DOCUMENTS = HERE / "documents"
CASES = HERE.parent.parent / "tests" / "cases" / "documents"
CASE = "case"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked about file ``source``, and what is right.

    ``expected`` are pieces that have to be in the answer in this order, ``absent`` ones that must
    not be; ``page`` (from 1) and ``section`` (a heading) say where it stands, when they matter.
    A case is asked within its file, any other question over all files. ``held_back`` were not
    looked at while the core was made. ``after`` names a public report of the kind of fault.
    """

    source: str
    kind: str
    language: str
    question: str
    expected: tuple[str, ...]
    absent: tuple[str, ...] = ()
    page: int | None = None
    section: str | None = None
    held_back: bool = False
    after: str | None = None

    @property
    def is_case(self) -> bool:
        return self.kind == CASE


def load(path: Path = QUESTIONS) -> list[Question]:
    """All questions. Raises ``TypeError`` for a field that there is not."""
    return [
        Question(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})
        for entry in json.loads(path.read_text("utf-8"))
    ]


def files(questions: Sequence[Question]) -> list[Path]:
    """The files that the questions are about, and all others that lie beside them."""
    cases = sorted({question.source for question in questions if question.is_case})
    return [*sorted(DOCUMENTS.iterdir()), *(CASES / name for name in cases)]
