"""What a core can have named as the revision of somebody's documents."""

from __future__ import annotations

import pytest

from gateway.domain.corpus_revision import is_revision


@pytest.mark.parametrize("text", [None, "", "a b", "é", "x\n", "a" * 129, "\x7f"])
def test_what_is_no_revision(text: str | None) -> None:
    """Then nothing is kept."""
    assert not is_revision(text)
    assert is_revision("9f.12")
