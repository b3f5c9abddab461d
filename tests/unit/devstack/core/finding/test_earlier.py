"""What a question leaves to the questions before it."""

from __future__ import annotations

import pytest

from devstack.core.finding.earlier import left_out

BEFORE = ["What is the warranty of the X200?"]


@pytest.mark.parametrize(
    ("question", "earlier", "expected"),
    [
        ("Why?", BEFORE, "warranty X200"),
        ("How long is it?", BEFORE, "warranty X200"),
        ("What does THAT cover?", BEFORE, "warranty X200"),
        ("And its price?", [*BEFORE, "How long is it?"], "long warranty X200"),
        ("How long does it take to steep green tea?", BEFORE, ""),
        ("How do I clean the kettle?", BEFORE, ""),
        ("Why is that?", [], ""),
        ("Why?", ["Who?", "What?"], ""),
        ("Why?", ["Green tea?", *["Why?"] * 5], ""),
        ("Why?", ["Green tea?", *["Why?"] * 4], "Green tea"),
        ("Why?", ["Tea, tea and green tea?"], "Tea tea green"),
    ],
)
def test_what_it_means_is_what_was_asked_about_before(
    question: str, earlier: list[str], expected: str
) -> None:
    """A question with no words of its own, or few and a word like "it", needs those before it."""
    assert left_out(question, earlier) == expected
