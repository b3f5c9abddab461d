"""Scores: what counts how much, and that one can see why."""

from __future__ import annotations

import json
import logging

import pytest

from devstack.core.chunks import Chunk
from devstack.core.finding.passages import CONTEXT, FIELDS, FILE, indexed
from devstack.core.finding.retriever import WordRetriever, build
from devstack.core.reading.blocks import Block, Kind
from devstack.core.reading.nodes import Passage, node
from tests.unit.devstack.core.conftest import ALICE, State

TEA = "Green tea is steeped for three minutes."


def retriever(*passages: tuple[str, Passage]) -> WordRetriever:
    """A retriever over passages of files of these names."""
    nodes = [node(f"d{n}", f"d{n}:0", passage) for n, (_, passage) in enumerate(passages)]
    entries = [indexed(passage, filename, "en") for filename, passage in passages]
    built = build(nodes, entries)
    return WordRetriever(built.bm25, ("en",), [1] * len(nodes), top_k=10)


def text(words: str, *section: str) -> Passage:
    return Passage((Block(Kind.PARAGRAPH, words, section=section),))


def order(found: WordRetriever, question: str) -> list[str]:
    return [one.node.node_id for one in found.retrieve(question)]


def test_word_in_the_text_counts_more_than_in_a_heading_and_that_more_than_in_the_name() -> None:
    """Headings and names say what a text is about, the text says it."""
    found = retriever(
        ("notes.txt", text("The harbour is deep and old.")),
        ("notes.txt", text("Ships pay at the desk there.", "Lighthouse")),
        ("lighthouse.txt", text("Bread is made of plain flour.")),
        ("notes.txt", text("A lighthouse warns of rocks there.")),
    )
    assert order(found, "lighthouse") == ["d3:0", "d1:0", "d2:0"]


def test_exact_word_goes_before_its_other_forms() -> None:
    """Who writes accents means them."""
    found = retriever(
        ("a.txt", text("Mr Muller bakes bread.")), ("b.txt", text("Mr Müller bakes bread."))
    )
    assert order(found, "Müller") == ["d1:0", "d0:0"]
    assert order(found, "Muller") == ["d0:0", "d1:0"]


def test_passage_with_all_that_was_asked_goes_before_one_that_repeats_a_word() -> None:
    """A rare word often is less than two words once."""
    found = retriever(
        ("a.txt", text("ferry ferry ferry ferry")),
        ("b.txt", text("The ferry fare is twelve.")),
        ("c.txt", text("Other things are here.")),
    )
    assert order(found, "ferry fare")[0] == "d1:0"


def test_copies_of_a_passage_are_found_once_and_equal_texts_of_other_sections_are_not_copies() -> (
    None
):
    """The same hours in summer and winter are two facts."""
    found = retriever(
        ("a.txt", text("Open at nine.", "Summer")),
        ("b.txt", text("Open  at NINE.", "Summer")),
        ("a.txt", text("Open at nine.", "Winter")),
    )
    assert order(found, "open nine") == ["d0:0", "d2:0"]


def test_pair_of_letters_met_by_chance_finds_nothing() -> None:
    """Chinese questions share pairs with everything; a single one of many is no match."""
    found = retriever(("a.txt", text("绿茶需要泡三分钟。")), ("b.txt", text("图书馆九点开门。")))
    assert order(found, "绿茶泡几分钟") == ["d0:0"]
    assert order(found, "明天早上的火车从这里到上海要走多长时间开门见山地说") == []


def test_long_question_finds_by_a_single_word() -> None:
    """However much else it says."""
    found = retriever(("a.txt", text("The ferry leaves at noon.")), ("b.txt", text("Tea is hot.")))
    asked = "strange behaviour captain winter storms chapter author describes ferry old tale"
    assert order(found, asked) == ["d0:0"]


def test_score_is_the_sum_of_what_is_explained() -> None:
    """With everything covered, the terms add up to the score: the best form of each field."""
    found = retriever(("tea.txt", text(TEA, "Tea")), ("b.txt", text("Bread rises overnight.")))
    (one,) = found.retrieve("steeped tea")
    matches = found.explained("steeped tea", one.node.node_id)
    best: dict[tuple[str, str], float] = {}
    for match in matches:
        place = (match.word, match.entry[0] if match.entry[0] in (CONTEXT, FILE) else "")
        best[place] = max(best.get(place, 0.0), match.score)
    assert sum(best.values()) == pytest.approx(one.score, abs=1e-3)
    assert {(word, field) for word, field in best} == {
        ("steeped", ""),
        ("tea", ""),
        ("tea", CONTEXT),
        ("tea", FILE),
    }
    assert set(FIELDS) == {"", CONTEXT, FILE}


def test_debug_output_tells_why_a_passage_was_found(
    state: State, caplog: pytest.LogCaptureFixture
) -> None:
    """Its score, and which word it has in which form; questions are in no log otherwise."""
    state.add(ALICE, TEA)
    with caplog.at_level(logging.INFO, logger="devstack.core.index"):
        state.find(ALICE, "steeping minute")
    assert "found" not in caplog.text
    with caplog.at_level(logging.DEBUG, logger="devstack.core.index"):
        (hit,) = state.find(ALICE, "steeping minute")
    said = json.loads(caplog.records[-1].getMessage().removeprefix("found "))
    assert said["passage"] == hit.chunk_id
    assert said["score"] == pytest.approx(hit.score, abs=1e-3)
    assert {match["entry"] for match in said["matched"]} == {"~steep", "~minut"}


def test_file_is_found_by_its_name_and_shown_as_it_is(state: State) -> None:
    """A name with marks between its words, without its ending."""
    document = state.add(ALICE, TEA, filename="Brewing_guide-2024.pdf")
    state.add(ALICE, "Bread is white.", filename="bread.pdf")
    assert [hit.document_id for hit in state.find(ALICE, "guide")] == [document]
    assert state.find(ALICE, "pdf") == []


def test_question_is_stemmed_in_every_language_of_the_owners_documents(state: State) -> None:
    """A question is too short to tell its language."""
    german = state.add(ALICE, "Die Fristen sind in der Anlage genannt und die Miete ist es nicht.")
    state.add(ALICE, "The books are on the shelf and the papers are in the box.")
    assert [hit.document_id for hit in state.find(ALICE, "Frist")] == [german]
    assert state.find(ALICE, "book")[0].language == "en"


def test_chunk_of_an_earlier_version_is_indexed_as_a_paragraph() -> None:
    """What has no structure has its text."""
    chunk = Chunk("d", 0, Passage((Block(Kind.PARAGRAPH, "green tea"),)))
    assert indexed(chunk.passage, "a.txt", "en") == ["green", "tea", FILE + "a"]
