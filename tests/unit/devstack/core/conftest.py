"""A core's shared state in a folder of the test's own."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from devstack.core.chunking import split
from devstack.core.documents import Announced, Owner
from devstack.core.index import Hit, IndexBuilder, IndexReader
from devstack.core.reading.blocks import Block, Kind, ReadDocument
from devstack.core.registry import Registry

ALICE = Owner("acme", "alice")
BOB = Owner("acme", "bob")
ALICE_ELSEWHERE = Owner("globex", "alice")


def uuid7() -> str:
    """A fresh UUIDv7."""
    stamp, tail = f"{time.time_ns() // 1_000_000:012x}", secrets.token_hex(8)
    return f"{stamp[:8]}-{stamp[8:]}-7{tail[:3]}-8{tail[3:6]}-{secrets.token_hex(6)}"


def announced(owner: Owner, document_id: str, filename: str = "notes.txt") -> Announced:
    return Announced(owner, document_id, filename, "text/plain", 10, None, None, None)


@dataclass
class State:
    """Registry, builder and reader over one data directory, as one process has them."""

    data_dir: Path
    registry: Registry
    builder: IndexBuilder
    reader: IndexReader

    @classmethod
    def opened(cls, data_dir: Path) -> State:
        registry = Registry(data_dir)
        index = data_dir / "index"
        return cls(data_dir, registry, IndexBuilder(registry, index), IndexReader(registry, index))

    def begin(self, owner: Owner, filename: str = "notes.txt") -> str:
        document_id = uuid7()
        self.registry.begin(announced(owner, document_id, filename), datetime.now(UTC))
        return document_id

    def add(self, owner: Owner, *pages: str, filename: str = "notes.txt") -> str:
        """Index a document as the worker does; its id."""
        document_id = self.begin(owner, filename)
        self.index(owner, document_id, *pages)
        return document_id

    def index(self, owner: Owner, document_id: str, *pages: str) -> None:
        """What follows ``begin``."""
        blocks = [Block(Kind.PARAGRAPH, text, n) for n, text in enumerate(pages, start=1)]
        chunks = split(document_id, ReadDocument(tuple(blocks)), threading.Event())
        self.registry.put_chunks(owner, document_id, chunks)
        self.builder.refresh(owner)
        self.registry.mark_indexed(owner, document_id, "0" * 64)

    def find(
        self, owner: Owner, terms: str, top_k: int = 10, document_ids: list[str] | None = None
    ) -> list[Hit]:
        return self.reader.search(owner, terms, top_k, document_ids)

    def generations(self, owner: Owner) -> list[str]:
        directory = self.data_dir / "index" / owner.tenant / owner.subject
        return sorted(entry.name for entry in directory.iterdir() if entry.is_dir())


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State.opened(tmp_path)
    yield opened
    opened.registry.close()
