"""Event lines: none is broken by a client's line reader, and none is longer than promised."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devstack.core.event_lines import event, fitted, to_json, token_texts


def source(text: str, **more: Any) -> dict[str, Any]:
    return {
        "document_id": "d",
        "filename": "f.txt",
        "chunk_id": "d:0",
        "score": 1.0,
        "text": text,
        **more,
    }


def test_no_letter_of_an_event_ends_a_line() -> None:
    """Python, Java and others end lines at more letters than the standard does."""
    text = "a\u2028b\u2029c\x85d\r\n\x0b\x0c\x1c\x1d\x1ee"
    sent = event("token", {"text": text}).decode()
    assert sent.splitlines()[0] == "event: token"
    assert len(sent.splitlines()) == 3
    assert json.loads(sent.splitlines()[1].removeprefix("data: "))["text"] == text


@pytest.mark.parametrize("letter", ["a", "ü", "語", "🙂", '"', "\u2028"])
@pytest.mark.parametrize("count", [1, 6, 50])
def test_sources_fit_in_a_line(letter: str, count: int) -> None:
    """Measured in bytes as sent, escapes too; what was cut is marked, and cut between letters."""
    sources = [source(f"{letter} " * 2_000) for _ in range(count)]
    sent = fitted(sources, 32 * 1024)
    assert len(("data: " + to_json(sent)).encode()) <= 32 * 1024
    assert len(sent) == count
    for before, after in zip(sources, sent, strict=True):
        assert before["text"].startswith(after["text"])
        assert after.get("truncated", False) == (before["text"] != after["text"])


def test_short_texts_are_not_cut_for_a_long_one() -> None:
    """Only the longest give room."""
    sent = fitted([source("short"), source("long " * 20_000), source("short, too")], 32 * 1024)
    assert [one["text"] for one in sent[::2]] == ["short", "short, too"]
    assert len(sent[1]["text"]) > 30_000


def test_places_give_way_before_sources_do() -> None:
    """A citation counts sources, so none is left out."""
    sources = [source("text", section=["Heading " * 60] * 3) for _ in range(50)]
    sent = fitted(sources, 32 * 1024)
    assert len(sent) == 50
    assert not [one for one in sent if "section" in one]
    assert len(("data: " + to_json(sent)).encode()) <= 32 * 1024


def test_long_token_is_several() -> None:
    """A model that sends its answer in one piece sends no long line."""
    assert "".join(token_texts("語" * 70_000)) == "語" * 70_000
    assert max(len(event("token", {"text": text})) for text in token_texts("\u2028" * 5_000)) < 8192
