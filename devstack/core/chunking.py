"""From pages to chunks, with LlamaIndex's sentence splitter."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence

from llama_index.core.node_parser import SentenceSplitter

from devstack.core.chunks import Chunk
from devstack.core.reading.blocks import Block, Kind
from devstack.core.reading.nodes import Passage
from devstack.core.reading.pages import Page

CHUNK_TOKENS = 220
OVERLAP_TOKENS = 30
# The splitter takes more than linear time on some texts, so it gets them in blocks; between two
# of them it can be told to stop.
BLOCK_CHARS = 50_000

# Counting tokens needs no model: a token is up to eight letters, which also bounds a chunk of one
# endless word, where counting by spaces would find a single token.
_TOKEN = re.compile(r"\w{1,8}|[^\w\s]")


class Stopped(Exception):
    """The stop event was set; the work done so far is discarded."""


def split(document_id: str, pages: Sequence[Page], stop: threading.Event) -> list[Chunk]:
    """A document's chunks, each within one page, numbered from 0 through the document.

    Raises:
        Stopped: when ``stop`` was set meanwhile.
    """
    splitter = SentenceSplitter(
        chunk_size=CHUNK_TOKENS, chunk_overlap=OVERLAP_TOKENS, tokenizer=_TOKEN.findall
    )
    chunks: list[Chunk] = []
    for page in pages:
        for block in _blocks(page.text):
            if stop.is_set():
                raise Stopped
            for text in splitter.split_text(block):
                if text.strip():
                    passage = Passage((Block(Kind.PARAGRAPH, text, page.number),))
                    chunks.append(Chunk(document_id, len(chunks), passage))
    return chunks


def _blocks(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > BLOCK_CHARS:
        end = _block_end(text, start)
        yield text[start:end]
        start = end
    yield text[start:]


def _block_end(text: str, start: int) -> int:
    """The end of a block: behind a paragraph, else a line, else a space, else where it is full."""
    for mark in ("\n\n", "\n", " "):
        found = text.rfind(mark, start + BLOCK_CHARS // 2, start + BLOCK_CHARS)
        if found >= 0:
            return found + len(mark)
    return start + BLOCK_CHARS
