"""Records, tombstones and conversations, and the races between them."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devstack.core.chunks import Chunk
from devstack.core.reading.blocks import Block, Kind
from devstack.core.reading.nodes import Passage
from devstack.core.registry import (
    CONVERSATIONS_PER_OWNER,
    QUESTIONS_PER_CONVERSATION,
    DocumentDeleted,
    Registry,
)
from tests.unit.devstack.core.conftest import (
    ALICE,
    ALICE_ELSEWHERE,
    BOB,
    State,
    announced,
    uuid7,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def chunk(document_id: str, text: str) -> Chunk:
    return Chunk(document_id, 0, Passage((Block(Kind.PARAGRAPH, text),)))


def test_record_follows_the_document(state: State) -> None:
    """Processing, then indexed with hash and chunks; created once, updated each time."""
    document = uuid7()
    state.registry.begin(announced(ALICE, document), NOW)
    record = state.registry.get(ALICE, document)
    assert record is not None
    assert (record.status, record.chunks, record.sha256) == ("processing", 0, None)
    assert record.created_at == "2026-01-02T03:04:05.000Z"
    state.registry.put_chunks(ALICE, document, [chunk(document, "x")])
    state.registry.mark_indexed(ALICE, document, "ab" * 32)
    record = state.registry.get(ALICE, document)
    assert record is not None
    assert (record.status, record.chunks, record.sha256) == ("indexed", 1, "ab" * 32)
    assert record.created_at == "2026-01-02T03:04:05.000Z"


def test_failed_document_leaves_no_chunks(state: State) -> None:
    """What failed half-way is not in the next generation."""
    document = state.begin(ALICE)
    state.registry.put_chunks(ALICE, document, [chunk(document, "tea")])
    state.registry.finish(announced(ALICE, document), NOW, "failed", "It is broken.")
    snapshot = state.registry.snapshot(ALICE)
    assert snapshot is not None
    assert snapshot.chunks == ()
    record = state.registry.get(ALICE, document)
    assert record is not None
    assert (record.status, record.error) == ("failed", "It is broken.")


def test_a_deleted_document_has_no_pinned_version(state: State) -> None:
    """What is pinned can be pinned again, belongs to one owner, and goes with the document."""
    document = state.begin(ALICE)
    for version in ("v1", "v1"):
        state.registry.pin(ALICE, document, version)
    assert state.registry.pinned(ALICE, document) == "v1"
    assert state.registry.pinned(BOB, document) is None
    state.registry.tombstone(ALICE, document)
    assert state.registry.pinned(ALICE, document) is None
    with pytest.raises(DocumentDeleted):
        state.registry.pin(ALICE, document, "v1")


def test_records_belong_to_one_owner(state: State) -> None:
    """The same id names nothing for anybody else, and deleting it there changes nothing here."""
    document = state.begin(ALICE)
    for stranger in (BOB, ALICE_ELSEWHERE):
        assert state.registry.get(stranger, document) is None
        assert state.registry.page(stranger, 10, None) == []
        state.registry.tombstone(stranger, document)
    assert state.registry.get(ALICE, document) is not None
    assert not state.registry.is_tombstoned(ALICE, document)


def test_listing_is_newest_first_and_pages_by_the_last_id_seen(state: State) -> None:
    """The cursor is a document id, whether or not it still exists."""
    stamps = [f"0190000{n}-0000-7000-8000-000000000000" for n in range(5)]
    for document in stamps:
        state.registry.begin(announced(ALICE, document), NOW)
    ids = [record.document_id for record in state.registry.page(ALICE, 2, None)]
    assert ids == [stamps[4], stamps[3]]
    state.registry.tombstone(ALICE, stamps[3])
    ids = [record.document_id for record in state.registry.page(ALICE, 10, stamps[3])]
    assert ids == [stamps[2], stamps[1], stamps[0]]


def test_buried_document_can_never_be_written_again(state: State) -> None:
    """Every write under a tombstoned id is refused, the unknown id's too."""
    for document in (state.begin(ALICE), uuid7()):
        state.registry.tombstone(ALICE, document)
        state.registry.tombstone(ALICE, document)
        assert state.registry.get(ALICE, document) is None
        with pytest.raises(DocumentDeleted):
            state.registry.begin(announced(ALICE, document), NOW)
        with pytest.raises(DocumentDeleted):
            state.registry.put_chunks(ALICE, document, [])
        with pytest.raises(DocumentDeleted):
            state.registry.mark_indexed(ALICE, document, "")
        with pytest.raises(DocumentDeleted):
            state.registry.finish(announced(ALICE, document), NOW, "failed", "x")


def test_generation_built_before_a_deletion_is_not_switched_to(state: State) -> None:
    """The deletion that comes while an index is being built makes that build worthless."""
    document = state.begin(ALICE)
    state.registry.put_chunks(ALICE, document, [chunk(document, "tea")])
    snapshot = state.registry.snapshot(ALICE)
    assert snapshot is not None
    state.registry.tombstone(ALICE, document)
    assert state.registry.switch(ALICE, snapshot.revision, "generation") is False
    assert state.registry.searchable(ALICE).generation is None


def test_deletion_racing_with_indexing_always_wins(state: State) -> None:
    """Wherever the deletion falls between the steps of indexing, nothing is left."""
    other = State.opened(state.data_dir)
    for _ in range(15):
        document = state.begin(ALICE)
        start = threading.Barrier(2)

        def index(document: str = document, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                chunks = [chunk(document, "green tea")]
                state.registry.put_chunks(ALICE, document, chunks)
                state.builder.refresh(ALICE)
                state.registry.mark_indexed(ALICE, document, "")
            except DocumentDeleted:
                pass

        thread = threading.Thread(target=index)
        thread.start()
        start.wait()
        other.registry.tombstone(ALICE, document)
        thread.join()
        other.builder.refresh(ALICE)
        assert other.find(ALICE, "tea") == []
        assert other.registry.get(ALICE, document) is None
        assert other.registry.searchable(ALICE).generation is None
    other.registry.close()


def test_deleted_text_is_not_left_in_the_file(state: State) -> None:
    """A deleted document's passages do not linger in the database's free pages."""
    document = state.begin(ALICE)
    state.registry.put_chunks(ALICE, document, [chunk(document, "marzipan secret")])
    state.registry.tombstone(ALICE, document)
    state.registry.close()  # which also folds the write-ahead log into the file
    stored = b"".join(path.read_bytes() for path in Path(state.data_dir).glob("registry*"))
    assert b"marzipan" not in stored


def test_conversation_remembers_its_last_question_for_its_owner_only(state: State) -> None:
    """Somebody else's conversation of the same name holds nothing."""
    state.registry.remember(ALICE, "c", "green tea")
    state.registry.remember(ALICE, "c", "black tea")
    assert state.registry.last_terms(ALICE, "c") == "black tea"
    for stranger in (BOB, ALICE_ELSEWHERE):
        assert state.registry.last_terms(stranger, "c") is None


def test_conversations_are_bounded(state: State) -> None:
    """The oldest questions and conversations make room."""
    for n in range(QUESTIONS_PER_CONVERSATION * 2):
        state.registry.remember(ALICE, "first", f"question {n}")
    for n in range(CONVERSATIONS_PER_OWNER):
        state.registry.remember(ALICE, f"c{n}", "question")
    assert state.registry.last_terms(ALICE, "first") is None
    assert state.registry.last_terms(ALICE, "c0") == "question"


def test_registry_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    """Chunks without blocks are paragraphs, and an index of another form is built again."""
    Registry(tmp_path).close()
    document = uuid7()
    old = sqlite3.connect(tmp_path / "registry.sqlite3")
    old.execute("ALTER TABLE chunks DROP COLUMN blocks")
    old.execute("INSERT INTO chunks VALUES ('acme', 'alice', ?, 0, 2, 'green tea')", (document,))
    old.execute("INSERT INTO indexes VALUES ('acme', 'alice', 1, 1, '0000000001-old')")
    old.execute("PRAGMA user_version = 0")
    old.commit()
    old.close()
    registry = Registry(tmp_path)
    snapshot = registry.snapshot(ALICE)
    assert registry.searchable(ALICE).generation is None
    registry.close()
    assert snapshot is not None
    (found,) = snapshot.chunks
    assert found.passage.blocks == (Block(Kind.PARAGRAPH, "green tea", 2),)


def test_warnings_belong_to_the_last_reading(state: State) -> None:
    """They come with the chunks, and go when the document is read again or fails."""
    document = uuid7()
    state.registry.begin(announced(ALICE, document), NOW)
    state.registry.put_chunks(ALICE, document, [chunk(document, "tea")], ["Page 2 is a scan."])
    state.registry.mark_indexed(ALICE, document, "ab" * 32)
    assert [record.warnings for record in state.registry.page(ALICE, 9, None)] == [
        ("Page 2 is a scan.",)
    ]
    state.registry.begin(announced(ALICE, document), NOW)
    record = state.registry.get(ALICE, document)
    assert record is not None
    assert record.warnings == ()


def test_the_corpus_revision_changes_with_what_may_be_found(state: State) -> None:
    """With each that is added, changed or removed, in every process, for its owner alone."""
    other = Registry(state.data_dir)  # as the worker has one
    seen = [other.corpus_revision(ALICE)]

    def changed() -> bool:
        now = state.registry.corpus_revision(ALICE)
        assert now == other.corpus_revision(ALICE)
        seen.append(now)
        return now not in seen[:-1]

    before = (state.registry.corpus_revision(BOB), state.registry.corpus_revision(ALICE_ELSEWHERE))
    document = state.add(ALICE, "Green tea.")
    assert changed()
    other.mark_indexed(ALICE, document, "ab" * 32)
    assert changed()
    other.put_chunks(ALICE, document, [chunk(document, "Black tea.")])
    state.builder.refresh(ALICE)
    assert changed()
    other.finish(announced(ALICE, document), NOW, "failed", "It is broken.")
    assert changed()
    state.registry.tombstone(ALICE, document)
    assert changed()
    state.registry.tombstone(ALICE, document)
    assert not changed()
    after = (state.registry.corpus_revision(BOB), state.registry.corpus_revision(ALICE_ELSEWHERE))
    assert after == before
    other.close()


def test_no_revision_is_that_of_another_registry(state: State, tmp_path: Path) -> None:
    """One that is begun anew counts from nothing, and may be asked by the same gateway."""
    anew = Registry(tmp_path / "anew")
    assert anew.corpus_revision(ALICE) != state.registry.corpus_revision(ALICE)
    anew.close()
