"""What "it" means: the words that a question leaves to what was asked before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from devstack.core.finding.normal_form import normal
from devstack.core.finding.wanted import content_words
from devstack.core.finding.words import words

# English alone: in German or French the same words mostly stand for no thing at all.
_REFERS_BACK = frozenset(
    ("it", "its", "this", "that", "these", "those", "they", "them", "their", "theirs")
) | frozenset(("he", "him", "his", "she", "her", "hers"))
# "How long does it take to steep green tea?" says itself what it is about.
_FEW_WORDS = 2
# So far back is looked.
_MOST_QUESTIONS = 5


def left_out(question: str, earlier: Sequence[str]) -> str:
    """The content words of earlier questions that this one needs; empty where it needs none.

    It needs some where it has no content words ("why?"), or few and a word like "it". Where the
    question before leaves something out itself, that one's is taken, too.
    """
    return " ".join(dict.fromkeys(_left_out(question, earlier)))


def _left_out(question: str, earlier: Sequence[str]) -> Iterator[str]:
    for before in list(reversed(earlier))[:_MOST_QUESTIONS]:
        if not _needs_more(question):
            return
        yield from content_words(before)
        question = before


def _needs_more(question: str) -> bool:
    named = content_words(question)
    refers = any(normal(word) in _REFERS_BACK for word in words(question))
    return not named or (refers and len(named) <= _FEW_WORDS)
