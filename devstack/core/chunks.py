"""Chunks: a document's passages by number, and the rows that they are stored as."""

from __future__ import annotations

import json
from dataclasses import dataclass

from devstack.core.reading.blocks import Block, Kind
from devstack.core.reading.nodes import Passage, packed, unpacked


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of a document and its number there, from 0."""

    document_id: str
    n: int
    passage: Passage

    @property
    def chunk_id(self) -> str:
        return f"{self.document_id}:{self.n}"


def to_row(chunk: Chunk) -> tuple[str, int, int | None, str, str]:
    """A chunk as it is stored: document id, number, page, text, and its blocks in JSON."""
    passage = chunk.passage
    blocks = json.dumps(packed(passage.blocks), ensure_ascii=False, separators=(",", ":"))
    return chunk.document_id, chunk.n, passage.page, passage.text, blocks


def from_row(document_id: str, n: int, page: int | None, text: str, blocks: str | None) -> Chunk:
    """A stored chunk; one that was stored without its blocks is a single paragraph."""
    if blocks is None:
        return Chunk(document_id, n, Passage((Block(Kind.PARAGRAPH, text, page),)))
    return Chunk(document_id, n, Passage(unpacked(text, json.loads(blocks))))
