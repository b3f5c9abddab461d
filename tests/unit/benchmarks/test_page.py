"""The page's tables are the committed results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.summary import ratios

PLACES = "\n".join(
    f"{page.BEGIN.format(name)}\nold\n{page.END.format(name)}" for name in page.TABLES
)


def test_the_page_has_the_committed_figures() -> None:
    """After new results: ``python -m benchmarks docs``; a run that writes there does it itself."""
    text = page.PAGE.read_text("utf-8")
    assert page.renewed(text) == text


def test_a_table_shows_the_systems_that_have_figures(tmp_path: Path) -> None:
    """A measurement that was not taken is a dash; what was measured twice is chosen by its load;
    what a result has in milliseconds stands there in the column's microseconds."""
    summary = [
        {"system": "gateway", "streams": 100, "cpu_us_per_event": 20.04, "added_p50_ms": 0.012},
        {"system": "gateway", "streams": 300, "cpu_us_per_event": 18.0},
        {"system": "nginx", "streams": 100, "cpu_us_per_event": 16.0},
    ]
    (tmp_path / "relay.json").write_text(json.dumps({"summary": summary}), "utf-8")
    text = page.renewed(PLACES, tmp_path)
    assert "| `gateway` | 20 | 18 | 12 | – | – | – |" in text
    assert "| `nginx` | 16 | – | – | – | – | – |" in text
    assert "haproxy" not in text
    assert "old" not in text
    assert text.count("No results.") == len(page.TABLES) - 1


def test_the_shapes_show_the_gateway_beside_itself_and_go(tmp_path: Path) -> None:
    """A pair of size and pace that was measured with other numbers of streams has dashes there."""
    summary = [
        {"system": "gateway", "streams": 100, "load": "first", "cpu_us_per_event": 20.0},
        {"system": "gateway", "streams": 300, "load": "first", "cpu_us_per_event": 18.0},
        {"system": "gateway", "streams": 100, "load": "20B-50/s", "cpu_us_per_event": 22.0},
        {"system": "go-reverseproxy", "streams": 100, "load": "first", "cpu_us_per_event": 25.0},
    ]
    found = {"summary": summary, "ratios": ratios(summary, "cpu_us_per_event")}
    (tmp_path / "shapes.json").write_text(json.dumps(found), "utf-8")
    text = page.renewed(PLACES, tmp_path)
    assert "| `first` | 20 | 1 | 0.8 | 18 | 1 | – |" in text
    assert "| `20B-50/s` | 22 | 1.1 | – | – | – | – |" in text


def test_a_page_without_its_places_is_refused(tmp_path: Path) -> None:
    """A table that silently stays away would be missed by nobody."""
    with pytest.raises(ValueError, match="not on the page"):
        page.renewed("# Benchmarks", tmp_path)


def test_kept_answers_stand_beside_the_same_ones_asked(tmp_path: Path) -> None:
    """A row for each answer, with what a hit is of asking."""
    summary = [
        {"system": "gateway", "streams": 8, "load": f"64 events, {way}", "cpu_us_per_answer": cost}
        for way, cost in (("asked", 1000.0), ("hit", 250.0))
    ]
    (tmp_path / "kept.json").write_text(json.dumps({"summary": summary}), "utf-8")
    assert "| 64 events | 1,000 | 250 | 0.25 |" in page.renewed(PLACES, tmp_path)


def test_tls_stands_beside_plain_with_what_it_adds(tmp_path: Path) -> None:
    """A cell that lacks one of the two is a dash; what is less is told as less."""
    rows = [("plain", 100, 20.0), ("tls", 100, 23.4), ("plain", 300, 18.0), ("tls", 300, 17.5)]
    summary = [
        {"system": "gateway", "load": load, "streams": streams, "cpu_us_per_event": figure}
        for load, streams, figure in rows
    ]
    summary.append({"system": "gateway", "load": "tls", "streams": 1000, "rss_kib_per_stream": 28})
    (tmp_path / "tls.json").write_text(json.dumps({"summary": summary}), "utf-8")
    text = page.renewed(PLACES, tmp_path)
    assert "| `gateway` | 20 → 23.4 (+3.4) | 18 → 17.5 (−0.5) | – | – |" in text
