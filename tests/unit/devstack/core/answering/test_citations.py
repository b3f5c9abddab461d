"""A model's citations are held to what their source says."""

from __future__ import annotations

import pytest

from devstack.core.answering.citations import is_supported
from devstack.core.index import Hit

FEE = Hit("d", "rules.md", "d:0", None, "The mooring fee is 1,200 crowns.", 1.0, ("Fees",))


@pytest.mark.parametrize(
    "statement",
    ["You pay 1200 crowns for mooring", "Moorings cost a fee", "停泊费是1200克朗"],
)
def test_statement_that_its_source_has_is_cited(statement: str) -> None:
    """By a word in any of its forms; in another script by its numbers."""
    assert is_supported(statement, FEE)


@pytest.mark.parametrize("statement", ["The mooring fee is 1300 crowns", "Dogs are welcome"])
def test_statement_that_its_source_lacks_is_not(statement: str) -> None:
    """A wrong figure, or nothing of it at all."""
    assert not is_supported(statement, FEE)
