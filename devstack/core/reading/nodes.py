"""Passages as LlamaIndex nodes, and the names of what a node knows about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from llama_index.core.schema import TextNode

from devstack.core.reading.blocks import Block, from_json, to_json

# LlamaIndex overwrites ``document_id`` and its like, so ours have names of their own.
DOCUMENT = "kb_document"  # the document's id
PAGE = "kb_page"  # the page it is on, from 1, or None
SECTION = "kb_section"  # the path of headings, outermost first, as a list
BLOCKS = "kb_blocks"  # its blocks; read them with ``blocks_of``
METADATA = (DOCUMENT, PAGE, SECTION, BLOCKS)

BETWEEN_BLOCKS = "\n"


@dataclass(frozen=True, slots=True)
class Passage:
    """Blocks that are found and cited together: all on one page and in one section.

    The rows of a table and the items of a list come with their header or lead-in: where a passage
    begins in the middle of one, it is repeated as the first block.
    """

    blocks: tuple[Block, ...]

    @property
    def text(self) -> str:
        """The blocks' texts, a line break between two."""
        return BETWEEN_BLOCKS.join(block.text for block in self.blocks)

    @property
    def page(self) -> int | None:
        # A heading may stand on the page before.
        return self.blocks[-1].page

    @property
    def section(self) -> tuple[str, ...]:
        return self.blocks[-1].section


def node(document_id: str, node_id: str, passage: Passage) -> TextNode:
    """A passage as a node.

    Its text is the passage's, and the metadata is no part of it (LlamaIndex would index and embed
    it as text otherwise); :func:`blocks_of` gives the blocks back.
    """
    return TextNode(
        id_=node_id,
        text=passage.text,
        metadata={
            DOCUMENT: document_id,
            PAGE: passage.page,
            SECTION: list(passage.section),
            BLOCKS: packed(passage.blocks),
        },
        excluded_embed_metadata_keys=list(METADATA),
        excluded_llm_metadata_keys=list(METADATA),
    )


def packed(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """Blocks as JSON, each with the length of its text in place of the text."""
    return [
        {**to_json(replace(block, text="")), "length": len(block.text)} for block in blocks
    ]  # fmt: skip


def blocks_of(text: str, metadata: Mapping[str, Any]) -> tuple[Block, ...]:
    """The blocks of a node, from its text and its metadata."""
    return unpacked(text, metadata[BLOCKS])


def unpacked(text: str, entries: Sequence[Mapping[str, Any]]) -> tuple[Block, ...]:
    """The blocks that :func:`packed` was given, from it and their texts joined."""
    blocks, start = [], 0
    for entry in entries:
        end = start + entry["length"]
        fields = {name: value for name, value in entry.items() if name != "length"}
        blocks.append(replace(from_json(fields), text=text[start:end]))
        start = end + len(BETWEEN_BLOCKS)
    return tuple(blocks)
