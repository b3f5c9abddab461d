"""What a passage is indexed under: its text, and with less weight what it stands under.

Three fields, told apart by a mark in front of each entry: the text itself, its context (headings,
the header of its table, the sentence that introduces its list), and the name of its file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from devstack.core.chunks import Chunk
from devstack.core.finding.languages import SAMPLE_CHARS, language_of
from devstack.core.finding.words import entries
from devstack.core.reading.blocks import Block, Kind
from devstack.core.reading.nodes import Passage

TEXT, CONTEXT, FILE = "", "@", "/"
# What a word counts in each field.
FIELDS = {TEXT: 1.0, CONTEXT: 0.5, FILE: 0.3}
LANGUAGE = "kb_language"

_STANDS_ABOVE = (Kind.HEADING, Kind.TABLE_HEADER)


def indexed(passage: Passage, filename: str, language: str) -> list[str]:
    """Every entry of a passage, with the mark of its field."""
    found = [
        entry
        for block in passage.blocks
        if block.kind not in _STANDS_ABOVE
        for entry in entries(block.text, language)
    ]
    for text in dict.fromkeys(context_of(passage.blocks)):
        found.extend(CONTEXT + entry for entry in entries(text, language))
    found.extend(FILE + entry for entry in entries(name_of(filename), language))
    return found


def context_of(blocks: Sequence[Block]) -> Iterator[str]:
    """What blocks stand under: headings, table headers, the lead-in of a list."""
    for block in blocks:
        yield from block.section
        yield from block.header
        if block.kind in _STANDS_ABOVE:
            yield block.text
        elif block.lead_in:
            yield block.lead_in


def name_of(filename: str) -> str:
    """A file's name without its ending, which says nothing of what is in it."""
    return PurePosixPath(filename.replace("\\", "/")).stem


def languages_of(chunks: Sequence[Chunk]) -> dict[str, str]:
    """The language of each document."""
    samples: dict[str, str] = {}
    for chunk in chunks:
        sample = samples.setdefault(chunk.document_id, "")
        if len(sample) < SAMPLE_CHARS:
            samples[chunk.document_id] = f"{sample}\n{chunk.passage.text}"
    return {document: language_of(sample) for document, sample in samples.items()}


def by_frequency(languages: Sequence[str]) -> tuple[str, ...]:
    """Each language once, the most frequent first."""
    return tuple(language for language, _ in Counter(languages).most_common())
