"""A PDF of two hundred pages: what is found in it is cited with its page."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devstack.core.chunking import split
from devstack.core.reading.formats import PDF, read_document
from tests.unit.devstack.core.conftest import ALICE, State
from tests.unit.devstack.core.sample_files import drawn, drawn_pdf

PAGES = 200
FACTS = {
    3: ("Who keeps the key of the tide gate?", "The key of the tide gate is kept by the cooper."),
    19: ("What does the ferry to Brannoch cost?", "The ferry to Brannoch costs nine crowns."),
    44: ("When was the lighthouse painted?", "The lighthouse was painted in the spring of 1931."),
    71: ("How deep is the inner basin?", "The inner basin is eleven metres deep."),
    98: ("Where are spare anchors stored?", "Spare anchors are stored behind the chandlery."),
    120: ("Which fish is sold on Fridays?", "On Fridays only mackerel is sold."),
    143: ("How long may a guest moor?", "A guest may moor for six nights."),
    167: ("What colour is the pilot's flag?", "The flag of the pilot is yellow and black."),
    188: ("Who repairs broken nets?", "Broken nets are repaired by the sailmaker."),
    200: ("Where does the register end?", "The register ends with the name of Aldous Finch."),
}


def page(number: int) -> str:
    """A page of running text about nothing in particular, with its fact in the middle."""
    lines = [
        f"On the day {number} of the count, entry {number * 31 + n} of the harbour was written."
        for n in range(30)
    ]
    lines[15] = FACTS[number][1] if number in FACTS else "Nothing else happened on that day."
    drawings = [drawn(60, 760, f"Day {number}", 16)]
    drawings += [drawn(60, 730 - 14 * n, line) for n, line in enumerate(lines)]
    return "\n".join(drawings)


@pytest.fixture
def asked(state: State, tmp_path: Path) -> State:
    """A core that has the PDF."""
    path = tmp_path / "register.pdf"
    path.write_bytes(drawn_pdf(*(page(number) for number in range(1, PAGES + 1))))
    document_id = state.begin(ALICE, path.name)
    chunks = split(document_id, read_document(path, PDF), threading.Event())
    state.registry.put_chunks(ALICE, document_id, chunks)
    state.builder.refresh(ALICE)
    state.registry.mark_indexed(ALICE, document_id, "0" * 64)
    return state


def test_ten_questions_lead_to_their_pages(asked: State) -> None:
    """The first passage found has the fact, and is on the page where it stands."""
    for number, (question, fact) in FACTS.items():
        best = asked.find(ALICE, question)[0]
        assert (best.page, fact in best.text, best.section) == (number, True, (f"Day {number}",))
