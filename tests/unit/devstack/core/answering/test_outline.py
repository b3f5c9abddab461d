"""What is said when a summary is asked for and there is no model."""

from __future__ import annotations

import pytest

from devstack.core.answering.extract import Citation, Token
from devstack.core.answering.outline import WITHOUT_MODEL, is_named, outline, summary_of
from devstack.core.index import Hit
from devstack.core.reading.blocks import Block, Kind
from devstack.core.reading.nodes import Passage


@pytest.mark.parametrize(
    "question",
    [
        "Summarise this",
        "Please summarize the document.",
        "What is this document about?",
        "tl;dr",
        "Give me an overview of my files",
        "Fasse das Dokument zusammen: Zusammenfassung bitte",
        "Worum geht es in dieser Datei?",
        "Résume ce document",
        "Resumen del documento",
        "总结一下",
        "要約してください",
        "Сделай краткое резюме документа",
        "Bu belgeyi özetle",
        "لخص هذا المستند",
    ],
)
def test_wish_for_a_summary_is_known_in_many_languages(question: str) -> None:
    """Of everything, or of the documents that are named."""
    assert summary_of(question) == frozenset()


@pytest.mark.parametrize(
    "question",
    [
        "What is the summary judgment rule?",
        "Who wrote the report?",
        "What is a textile dock?",
        "Why?",
    ],
)
def test_question_about_something_is_none(question: str) -> None:
    """Unless there is a file of that name, which the caller looks up."""
    named = summary_of(question)
    assert named is None or not is_named("tea-handbook.pdf", named)


def test_document_may_be_named() -> None:
    """By any words of its file's name."""
    named = summary_of("Summarise the handbook")
    assert named == {"handbook"}
    assert is_named("Tidewater_Library-Handbook.md", named)
    assert not is_named("prices.md", named)


def section(document: str, text: str, *path: str) -> Hit:
    blocks = (
        Block(Kind.HEADING, path[-1], section=path),
        Block(Kind.PARAGRAPH, text, section=path),
    )
    made = Passage(blocks)
    return Hit(document, f"{document}.md", f"{document}:0", None, made.text, 1.0, path, blocks)


def test_outline_says_what_the_core_can_do_and_cites_each_section() -> None:
    """Headings as they stand, a document after the other; without headings how it begins."""
    plain = Hit("c", "c.txt", "c:0", None, "It begins. It goes on.", 1.0)
    hits = [section("a", "x", "Rules"), section("a", "y", "Rules", "Fees"), plain]
    parts = list(outline(hits))
    answer = "".join(part.text for part in parts if isinstance(part, Token))
    assert answer == f"{WITHOUT_MODEL}\na.md\n– Rules\n  – Fees\nc.txt\n– It begins."
    cited = [(p.source, answer[p.start : p.end]) for p in parts if isinstance(p, Citation)]
    assert cited == [(0, "Rules"), (1, "Fees"), (2, "It begins.")]
