"""Retrieval: what a question finds, and what it must never find."""

from __future__ import annotations

import shutil
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from devstack.core.chunking import split
from devstack.core.documents import Owner
from devstack.core.index import IndexReader
from devstack.core.reading.blocks import Block, Kind, ReadDocument
from devstack.core.sweep import Sweep
from tests.unit.devstack.core.conftest import ALICE, ALICE_ELSEWHERE, BOB, State, announced

TEA = "Green tea is steeped for three minutes. Black tea takes five."
SHIPS = "The harbour holds forty ships. A lighthouse warns them of the rocks."


def test_passage_is_found_with_its_document_page_and_score(state: State) -> None:
    """A hit says where it comes from, with a score above zero."""
    document = state.add(ALICE, SHIPS, TEA, filename="tea.pdf")
    (hit,) = state.find(ALICE, "steeped minutes")
    assert (hit.document_id, hit.filename, hit.page) == (document, "tea.pdf", 2)
    assert hit.chunk_id == f"{document}:1"
    assert hit.text == TEA
    assert hit.score > 0


@pytest.mark.parametrize("stranger", [BOB, ALICE_ELSEWHERE])
def test_nobody_else_finds_an_owners_passages(state: State, stranger: Owner) -> None:
    """Another user, and a namesake in another tenant, find nothing, even when naming the id."""
    document = state.add(ALICE, TEA)
    state.add(stranger, SHIPS)
    assert state.find(stranger, "tea") == []
    assert state.find(stranger, "tea", document_ids=[document]) == []


def test_document_ids_narrow_to_these_documents(state: State) -> None:
    """The filter holds although the retriever fills up with masked nodes at score 0."""
    first = state.add(ALICE, TEA)
    second = state.add(ALICE, "Tea grows on hills.")
    assert {hit.document_id for hit in state.find(ALICE, "tea")} == {first, second}
    found = state.find(ALICE, "tea", document_ids=[second, "no-such-id"])
    assert [hit.document_id for hit in found] == [second]
    assert state.find(ALICE, "tea", document_ids=["no-such-id"]) == []
    assert state.find(ALICE, "tea", document_ids=[]) == []


def test_question_without_overlap_finds_nothing(state: State) -> None:
    """Passages that share no word are not sources."""
    state.add(ALICE, TEA)
    assert state.find(ALICE, "quantum chromodynamics") == []
    assert state.find(ALICE, "") == []


def test_empty_corpus_finds_nothing(state: State) -> None:
    """An owner with no document is not an error."""
    assert state.find(ALICE, "tea") == []


def test_corpus_of_stop_words_can_be_indexed(state: State) -> None:
    """Words that say little are no reason to fail a document: one may be called "The Who"."""
    state.add(ALICE, "The and of to. It is as it was.")
    assert len(state.find(ALICE, "the")) == 1
    assert state.find(ALICE, "tea") == []
    state.add(ALICE, TEA)
    assert len(state.find(ALICE, "tea")) == 1


def test_metadata_is_not_text(state: State) -> None:
    """Ids and page numbers are not words a passage can be found by."""
    document = state.add(ALICE, TEA)
    assert state.find(ALICE, document.split("-")[0]) == []
    assert state.find(ALICE, "kb_document kb_page document") == []


def test_chinese_is_found_by_its_letters(state: State) -> None:
    """Text without spaces is searchable too."""
    state.add(ALICE, "绿茶需要泡三分钟。红茶需要五分钟。")
    assert len(state.find(ALICE, "绿茶")) == 1
    assert state.find(ALICE, "船") == []


def test_top_k_bounds_the_hits_and_the_best_come_first(state: State) -> None:
    """As many as asked for at most, by falling score."""
    for n in range(5):
        state.add(ALICE, f"Tea {'tea ' * n} number {n}.")
    hits = state.find(ALICE, "tea", top_k=3)
    assert len(hits) == 3
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_index_is_reopened_from_disk(state: State) -> None:
    """Another process finds the same, with the same score, in what was persisted."""
    state.add(ALICE, TEA, filename="tea.pdf")
    state.add(ALICE, SHIPS)
    other = State.opened(state.data_dir)
    assert other.find(ALICE, "steeping tea") == state.find(ALICE, "steeping tea")
    assert other.find(ALICE, "steeping tea")
    other.registry.close()


def test_reader_sees_a_new_generation_and_old_ones_are_removed(state: State) -> None:
    """An index open in one process follows what another one builds; one generation stays."""
    state.add(ALICE, TEA)
    other = State.opened(state.data_dir)
    assert other.find(ALICE, "ships") == []
    state.add(ALICE, SHIPS)
    assert len(other.find(ALICE, "ships")) == 1
    assert len(state.generations(ALICE)) == 1
    other.registry.close()


def test_deleted_document_is_masked_before_its_nodes_are_gone(state: State) -> None:
    """A question right after a deletion finds nothing of it; the rebuild removes the rest."""
    document = state.add(ALICE, TEA)
    kept = state.add(ALICE, "Tea grows on hills.")
    state.registry.tombstone(ALICE, document)
    assert [hit.document_id for hit in state.find(ALICE, "tea")] == [kept]
    state.builder.refresh(ALICE)
    stored = state.data_dir / "index" / "acme" / "alice"
    assert not any(b"steeped" in path.read_bytes() for path in stored.rglob("*") if path.is_file())


def test_last_document_gone_leaves_no_generation(state: State) -> None:
    """An empty index is none at all."""
    document = state.add(ALICE, TEA)
    state.registry.tombstone(ALICE, document)
    state.builder.refresh(ALICE)
    assert state.generations(ALICE) == []
    assert state.find(ALICE, "tea") == []


def test_document_not_yet_marked_is_not_found(state: State) -> None:
    """Nodes in the generation are invisible until the record says indexed."""
    document = state.add(ALICE, TEA)
    state.registry.finish(announced(ALICE, document), datetime.now(UTC), "failed", "again")
    assert state.find(ALICE, "tea") == []


def test_generation_removed_while_it_is_opened_is_looked_up_again(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that finds its generation gone, or half gone, takes the current one."""
    state.add(ALICE, TEA)
    reader = IndexReader(state.registry, state.data_dir / "index")
    load = reader._load
    attempts = []

    def overtaken(owner: object, generation: str) -> object:
        if not attempts:
            directory = state.data_dir / "index/acme/alice" / generation
            (directory / "corpus.jsonl").unlink()  # which bm25s would not miss
            attempts.append(load(ALICE, generation))
            shutil.rmtree(directory)
            attempts.append(load(ALICE, generation))
            state.add(ALICE, SHIPS)
            return None
        return load(ALICE, generation)

    monkeypatch.setattr(reader, "_load", overtaken)
    assert len(reader.search(ALICE, "tea", 5, None)) == 1
    assert attempts == [None, None]


def test_builders_of_one_owner_at_once_leave_every_document_in(state: State) -> None:
    """Documents indexed at the same time, in threads and over two connections, are all found."""
    other = State.opened(state.data_dir)
    start = threading.Barrier(8)
    words = [f"word{letter * 3}" for letter in "abcdefgh"]

    def index(n: int) -> None:
        start.wait()
        (state if n % 2 else other).add(ALICE, f"Tea with {words[n]} inside.")

    threads = [threading.Thread(target=index, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(state.find(ALICE, word)) == 1 for word in words)
    assert len(state.generations(ALICE)) == 1
    other.registry.close()


def test_builder_told_to_stop_leaves_the_index_for_the_next_one(state: State) -> None:
    """A builder waiting for another gives up when it is told to; stale owners are known."""
    state.add(ALICE, TEA)
    document = state.begin(ALICE)
    state.registry.put_chunks(ALICE, document, [])
    state.registry.tombstone(ALICE, document)
    stop = threading.Event()
    with state.builder._building(ALICE, threading.Event()):
        waiting = threading.Thread(target=state.builder.refresh, args=(ALICE, stop))
        waiting.start()
        stop.set()
        waiting.join(timeout=30)
        assert not waiting.is_alive()
    assert state.registry.stale_owners() == [ALICE]
    state.builder.refresh(ALICE)
    assert state.registry.stale_owners() == []


def test_number_of_open_indexes_is_bounded(state: State) -> None:
    """Memory does not grow with the number of owners."""
    reader = IndexReader(state.registry, state.data_dir / "index", limit=1)
    state.add(ALICE, TEA)
    state.add(BOB, TEA)
    assert len(reader.search(ALICE, "tea", 5, None)) == 1
    assert len(reader.search(BOB, "tea", 5, None)) == 1
    assert len(reader._open) == 1
    assert len(reader.search(ALICE, "tea", 5, None)) == 1


def test_sweep_builds_the_others_where_one_index_cannot_be_built(state: State) -> None:
    """One owner's fault is nobody else's."""
    for owner in (ALICE, BOB):
        document = state.begin(owner)
        chunks = split(document, ReadDocument((Block(Kind.PARAGRAPH, TEA),)), threading.Event())
        state.registry.put_chunks(owner, document, chunks)
    in_the_way = state.data_dir / "index" / ALICE.tenant / ALICE.subject
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    storage: Any = None
    Sweep(state.registry, state.builder, storage, state.data_dir / "staging").refresh_indexes()
    assert state.registry.stale_owners() == [ALICE]
