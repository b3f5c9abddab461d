"""The BM25 index: one for each owner, in generations on disk, found through the registry.

A generation is a directory that is complete before the registry points to it, and never changed
afterwards. Whoever changes an owner's chunks calls :meth:`IndexBuilder.refresh`; a file lock lets
one builder at a time work on an owner, in whichever process. Readers keep the generation they have
open in memory and look at the pointer for every question.

What a question may see is decided by the registry at that moment, not by the generation: a
document that was just deleted is masked out before its nodes are gone from the disk.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import bm25s  # type: ignore[import-untyped]
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node

from devstack.core.chunks import Chunk
from devstack.core.documents import Owner
from devstack.core.finding import vectors
from devstack.core.finding.embeddings import Embedder, Vectors
from devstack.core.finding.languages import UNKNOWN
from devstack.core.finding.passages import LANGUAGE, by_frequency, indexed, languages_of
from devstack.core.finding.retriever import WordRetriever, build
from devstack.core.reading.blocks import Block
from devstack.core.reading.nodes import DOCUMENT, PAGE, SECTION, blocks_of, node
from devstack.core.registry import Registry, Snapshot

logger = logging.getLogger(__name__)

OPEN_INDEXES = 64
OPEN_ATTEMPTS = 5
LOCK_POLL_S = 0.05
# An outline is read by a person.
MOST_OUTLINED, MOST_SECTIONS = 5, 30


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question; ``score`` is above zero, ``page`` from 1, for PDF.

    ``section`` is the path of headings it stands under, ``language`` its document's.
    """

    document_id: str
    filename: str
    chunk_id: str
    page: int | None
    text: str
    score: float
    section: tuple[str, ...] = ()
    blocks: tuple[Block, ...] = ()
    language: str = UNKNOWN


@dataclass(frozen=True, slots=True)
class _OpenIndex:
    generation: str
    bm25: bm25s.BM25
    documents: tuple[str, ...]  # of each node, in the index's order
    languages: tuple[str, ...]  # of all documents, the most frequent first
    vectors: Vectors | None


def _owner_dir(root: Path, owner: Owner) -> Path:
    return root / owner.tenant / owner.subject


class IndexBuilder:
    """Brings indexes on disk up to date with the registry's chunks."""

    def __init__(self, registry: Registry, root: Path, embedder: Embedder | None = None) -> None:
        self._registry = registry
        self._root = root
        self._embedder = embedder

    def refresh(self, owner: Owner, stop: threading.Event | None = None) -> None:
        """Build and switch until the owner's index has exactly the chunks the registry has.

        Blocking, for a thread. Setting ``stop`` ends it between two builds, or while it waits for
        another builder; the index then lags behind until the next call, whoever makes it.
        """
        stop = stop or threading.Event()
        with self._building(owner, stop) as directory:
            while not stop.is_set():
                snapshot = self._registry.snapshot(owner)
                if snapshot is None:
                    return
                generation = self._build(directory, snapshot)
                if self._registry.switch(owner, snapshot.revision, generation):
                    self._remove_others(directory, generation)
                elif generation is not None:
                    shutil.rmtree(directory / generation)

    @contextmanager
    def _building(self, owner: Owner, stop: threading.Event) -> Iterator[Path]:
        directory = _owner_dir(self._root, owner)
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "lock").open("wb") as lock:
            while not _locked(lock) and not stop.wait(LOCK_POLL_S):
                pass
            yield directory

    def _build(self, directory: Path, snapshot: Snapshot) -> str | None:
        """The name of a new generation on disk, or None when there is nothing to find in it."""
        languages = languages_of(snapshot.chunks)
        nodes, entries = [], []
        for chunk in snapshot.chunks:
            language = languages[chunk.document_id]
            filename = snapshot.filenames.get(chunk.document_id, "")
            found = indexed(chunk.passage, filename, language)
            if found:
                nodes.append(_node(chunk, language))
                entries.append(found)
        if not nodes:
            return None
        name = f"{snapshot.revision:010d}-{secrets.token_hex(4)}"
        build(nodes, entries).persist(
            str(directory / name), show_progress=False, raise_on_serialization_error=True
        )
        if self._embedder is not None:
            before = [entry for entry in directory.iterdir() if entry.name != name]
            texts = [made.get_content() for made in nodes]
            vectors.save(directory / name, texts, self._embedder, before)
        _sync(directory / name)
        return name

    def _remove_others(self, directory: Path, current: str | None) -> None:
        """Remove what is not current: older generations, and those of a builder that crashed.

        A reader may have one of them half read. It is renamed first, so that the reader finds
        nothing rather than a part, and looks at the pointer again.
        """
        for entry in directory.iterdir():
            if entry.name in ("lock", current):
                continue
            removed = entry
            if not entry.name.startswith("removed-"):
                removed = entry.rename(directory / f"removed-{entry.name}")
            shutil.rmtree(removed, ignore_errors=True)


def _node(chunk: Chunk, language: str) -> TextNode:
    made = node(chunk.document_id, chunk.chunk_id, chunk.passage)
    made.metadata[LANGUAGE] = language
    for excluded in (made.excluded_embed_metadata_keys, made.excluded_llm_metadata_keys):
        excluded.append(LANGUAGE)
    return made


def _locked(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(directory: Path) -> None:
    """Have a generation on disk before anything points to it."""
    for path in (*directory.iterdir(), directory, directory.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _log_scores(retriever: WordRetriever, terms: str, found: Sequence[NodeWithScore]) -> None:
    """For whoever wants to know why: each passage found, its score, and what it consists of."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for one in found:
        matches = [asdict(match) for match in retriever.explained(terms, one.node.node_id)]
        said = {"passage": one.node.node_id, "score": one.score, "matched": matches}
        logger.debug("found %s", json.dumps(said, ensure_ascii=False))


def _hit(found: NodeWithScore, filenames: Mapping[str, str]) -> Hit:
    metadata, text = found.node.metadata, found.node.get_content()
    document = str(metadata[DOCUMENT])
    return Hit(
        document_id=document,
        filename=filenames[document],
        chunk_id=found.node.node_id,
        page=metadata[PAGE],
        text=text,
        score=round(float(found.score or 0.0), 4),
        section=tuple(metadata[SECTION]),
        blocks=blocks_of(text, metadata),
        language=metadata[LANGUAGE],
    )


class IndexReader:
    """Answers questions from the newest generation; keeps a bounded number of them open."""

    def __init__(
        self,
        registry: Registry,
        root: Path,
        limit: int = OPEN_INDEXES,
        embedder: Embedder | None = None,
    ) -> None:
        self._registry = registry
        self._root = root
        self._embedder = embedder
        self._limit = limit
        self._lock = threading.Lock()
        self._open: OrderedDict[Owner, _OpenIndex] = OrderedDict()

    def search(
        self,
        owner: Owner,
        terms: str,
        top_k: int,
        document_ids: Collection[str] | None,
        question: str | None = None,
    ) -> list[Hit]:
        """The passages with the best score, best first; none that shares no word with the terms.

        ``document_ids`` narrows to these documents of the owner; an id that is not his names
        nothing. With an embedder, passages that are near to ``question`` are found too. Blocking,
        for a thread.
        """
        filenames, index = self._current(owner)
        visible = filenames.keys() & (filenames if document_ids is None else set(document_ids))
        if index is None:
            return []
        mask = [1 if document in visible else 0 for document in index.documents]
        if not any(mask):
            return []
        by_words = WordRetriever(index.bm25, index.languages, mask, top_k)
        found = self._retriever(index, by_words, question or terms, top_k).retrieve(terms)
        _log_scores(by_words, terms, found)
        return [_hit(node, filenames) for node in found]

    def _retriever(
        self, index: _OpenIndex, by_words: WordRetriever, question: str, top_k: int
    ) -> BaseRetriever:
        if self._embedder is None or index.vectors is None:
            return by_words
        by_words.similarity_top_k = vectors.CANDIDATES
        return vectors.FusedRetriever(by_words, index.vectors, self._embedder, question, top_k)

    def filenames(
        self, owner: Owner, document_ids: Collection[str] | None = None
    ) -> dict[str, str]:
        """The documents that a question may search, by id. Blocking, for a thread."""
        searchable = self._registry.searchable(owner).filenames
        wanted = searchable if document_ids is None else set(document_ids)
        return {document: name for document, name in searchable.items() if document in wanted}

    def sections(self, owner: Owner, document_ids: Collection[str]) -> list[Hit]:
        """The first passage of each section of these documents, the newest document first.

        Blocking, for a thread.
        """
        filenames, index = self._current(owner)
        if index is None:
            return []
        visible = sorted(filenames.keys() & set(document_ids), reverse=True)[:MOST_OUTLINED]
        begun: dict[tuple[str, ...], Hit] = {}
        for document, entry in zip(index.documents, index.bm25.corpus, strict=True):
            place = (document, *entry[SECTION])
            if document in visible and place not in begun:
                found = NodeWithScore(node=metadata_dict_to_node(entry), score=1.0)
                begun[place] = _hit(found, filenames)
        hits = sorted(begun.values(), key=lambda hit: visible.index(hit.document_id))
        return hits[:MOST_SECTIONS]

    def _current(self, owner: Owner) -> tuple[dict[str, str], _OpenIndex | None]:
        """The documents the owner may see now, and the generation the pointer names."""
        for _ in range(OPEN_ATTEMPTS):
            searchable = self._registry.searchable(owner)
            if searchable.generation is None:
                return searchable.filenames, None
            index = self._cached(owner, searchable.generation)
            if index is None:
                index = self._load(owner, searchable.generation)
            if index is not None:
                return searchable.filenames, index
        raise OSError(f"the index of {owner} could not be opened")

    def _cached(self, owner: Owner, generation: str) -> _OpenIndex | None:
        with self._lock:
            index = self._open.get(owner)
            if index is None or index.generation != generation:
                return None
            self._open.move_to_end(owner)
            return index

    def _load(self, owner: Owner, generation: str) -> _OpenIndex | None:
        """Open a generation, or None when it was replaced and removed meanwhile."""
        directory = _owner_dir(self._root, owner) / generation
        try:
            bm25 = bm25s.BM25.load(str(directory), load_corpus=True)
        except FileNotFoundError:
            return None
        corpus = bm25.corpus
        if corpus is None or len(corpus) != int(bm25.scores["num_docs"]):
            return None  # a missing corpus is no error to bm25s
        documents = tuple(str(entry[DOCUMENT]) for entry in corpus)
        languages = by_frequency([entry.get(LANGUAGE, UNKNOWN) for entry in corpus])
        known = vectors.load(directory, self._embedder.model) if self._embedder else None
        index = _OpenIndex(generation, bm25, documents, languages, known)
        with self._lock:
            self._open[owner] = index
            self._open.move_to_end(owner)
            while len(self._open) > self._limit:
                self._open.popitem(last=False)
        return index
