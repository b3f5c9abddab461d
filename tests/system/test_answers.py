"""The cases through the real gateway: uploaded, indexed, asked, and answered with their place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.answers.core import TYPES
from benchmarks.answers.questions import CASES, load
from benchmarks.answers.score import Given, is_right
from devstack.core.reading.formats import PDF
from tests.unit.devstack.core import sample_files

from .conftest import People
from .people import Person, Streamed

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

AT_ONCE = 8
FIRST_NAMES = (
    *("Abel", "Berit", "Casper", "Dagny", "Emil", "Frida", "Gustav", "Hedda", "Ivar", "Jorun"),
    *("Knut", "Liv", "Magnus", "Nora", "Olav", "Petra", "Runa", "Sigurd", "Tora", "Ulrik"),
)
LAST_NAMES = (*("Aas", "Bakke", "Dahl", "Eide", "Foss", "Hagen", "Lund", "Moen", "Strand", "Vik"),)
# Markup that a reader may give up on, as long as it ends and says why.
MAY_BE_REFUSED = {"open-tags.html"}


async def test_every_case_is_answered_through_the_gateway(people: People) -> None:
    """What each file says is in the answer, and the citation leads to where it stands."""
    user = await people("user-7")
    asked = [question for question in load() if question.is_case]
    ids = await _uploaded(user, sorted(path.name for path in CASES.iterdir()))
    wrong = []
    for question in asked:
        answer = await user.ask(question.question, document_ids=[ids[question.source]])
        if not is_right(question, _given(answer)):
            wrong.append((question, answer.text))
    assert wrong == []
    scanned = (await user.read(ids["mixed-scan.pdf"])).json()
    assert "2" in " ".join(scanned["warnings"])


async def test_long_pdf_is_cited_with_the_right_page(people: People) -> None:
    """Ten questions about two hundred pages that say nearly the same."""
    user = await people("user-8")
    names = [f"{first} {last}" for last in LAST_NAMES for first in FIRST_NAMES]
    pages = [f"Berth {n} is kept by {name}." for n, name in enumerate(names, start=1)]
    document_id = await user.add(sample_files.pdf(*pages), "berths.pdf", PDF)
    for number in (1, 17, 42, 60, 99, 101, 128, 150, 187, 200):
        asked = (
            f"Who keeps berth {number}?" if number % 2 else f"What does {names[number - 1]} keep?"
        )
        given = _given(await user.ask(asked, document_ids=[document_id]))
        assert given is not None, asked
        assert (given.text, given.page) == (pages[number - 1], number)


async def _uploaded(user: Person, names: list[str]) -> dict[str, str]:
    """The document ids of case files, a few of them on their way at once."""
    room = asyncio.Semaphore(AT_ONCE)

    async def add(name: str) -> str:
        path = CASES / name
        async with room:
            if name in MAY_BE_REFUSED:
                return await _settled(user, path)
            return await user.add(path.read_bytes(), name, TYPES[path.suffix])

    return dict(zip(names, await asyncio.gather(*map(add, names)), strict=True))


async def _settled(user: Person, path: Path) -> str:
    """The id of a document that need not be indexed, once it has come to an end with a reason."""
    content = await asyncio.to_thread(path.read_bytes)
    ticket = await user.announce(content, path.name, TYPES[path.suffix])
    assert (await user.upload(ticket, content)).is_success
    assert (await user.complete(ticket["document_id"])).status_code == 202
    document = await user.settled(ticket["document_id"])
    assert document["status"] == "indexed" or document["error"], document
    return str(ticket["document_id"])


def _given(answer: Streamed) -> Given | None:
    """What the first citation quotes, and its place."""
    citations = answer.named("citation")
    if not citations:
        return None
    (sources,) = answer.named("sources")
    first = citations[0]
    source = sources[first["source"]]
    quoted = answer.text[first["start"] : first["end"]]
    assert quoted in source["text"]
    return Given(quoted, source["filename"], source.get("page"), tuple(source.get("section", ())))
