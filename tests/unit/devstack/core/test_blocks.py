"""Blocks, and the nodes that are made of them."""

from __future__ import annotations

import json

from devstack.core.reading.blocks import Block, Kind, from_json, row_text, to_json
from devstack.core.reading.nodes import PAGE, SECTION, Passage, blocks_of, node

BLOCKS = (
    Block(Kind.HEADING, "Prices", 3, ("Shop", "Prices"), 4, level=2),
    Block(Kind.TABLE_HEADER, "Product · Price", 3, ("Shop", "Prices"), 5, 0, ("Product", "Price")),
    Block(
        *(Kind.TABLE_ROW, "Bellows · (empty)", 3, ("Shop", "Prices"), 6, 0),
        *(("Bellows", ""), ("Product", "Price")),
    ),
    Block(Kind.CODE, "a = 1\nb = 2", 3, ("Shop", "Prices"), 7),
)


def test_block_survives_json() -> None:
    """What a reader's process writes is what its parent reads."""
    assert [from_json(json.loads(json.dumps(to_json(block)))) for block in BLOCKS] == list(BLOCKS)


def test_node_gives_its_blocks_back() -> None:
    """A node's text is that of its blocks and nothing else, and its blocks can be had again."""
    made = node("d", "d:0", Passage(BLOCKS))
    assert made.get_content() == "Prices\nProduct · Price\nBellows · (empty)\na = 1\nb = 2"
    assert (made.metadata[PAGE], made.metadata[SECTION]) == (3, ["Shop", "Prices"])
    stored = json.loads(json.dumps(made.metadata))
    assert blocks_of(made.get_content(), stored) == BLOCKS


def test_empty_cell_keeps_its_place() -> None:
    """A figure never moves under another heading."""
    assert row_text(("Barn", "", "7", "7")) == "Barn · (empty) · 7 · 7"
