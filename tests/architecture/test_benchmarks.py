"""The benchmarks stand beside the gateway, and what they left is of the agreed shape."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
BENCHMARKS = CHECKOUT / "benchmarks"
RESULTS = sorted((BENCHMARKS / "results").glob("*.json"))
PAGE = CHECKOUT / "docs" / "benchmarks.md"
SYSTEMS = {
    *("gateway", "nginx", "haproxy", "caddy", "go-reverseproxy"),
    *("go-jwt-opa", "fastapi-httpx", "litellm"),
}
LINES = 400


def test_no_module_is_longer_than_400_lines() -> None:
    """The same rule as for what is measured; Go is no exception."""
    sources = [*BENCHMARKS.rglob("*.py"), *BENCHMARKS.rglob("*.go")]
    assert [p.name for p in sources if len(p.read_text("utf-8").splitlines()) > LINES] == []


def test_what_is_measured_does_not_know_that_it_is() -> None:
    """Nothing that is installed imports the benchmarks."""
    users = re.compile(r"^\s*(?:import|from)\s+benchmarks\b", re.MULTILINE)
    packages = ("gateway", "blueprints", "devstack")
    sources = [path for package in packages for path in (CHECKOUT / package).rglob("*.py")]
    assert [path for path in sources if users.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_have_the_agreed_shape(path: Path) -> None:
    """Whoever reads them finds the machine, the versions and a row for each measurement."""
    result = json.loads(path.read_text("utf-8"))
    assert {"machine", "versions", "rows", "summary", "code"} <= result.keys()
    assert {row["system"] for row in result["rows"]} <= SYSTEMS
    assert all({"system", "streams", "round"} <= row.keys() for row in result["rows"])
    if path.stem == "relay":
        figures = {"cpu_us_per_event", "added_p50_ms", "added_p99_ms"}
        assert all(figures <= row.keys() for row in result["summary"])


def test_every_system_is_described() -> None:
    """The page says what stands behind each name."""
    page = PAGE.read_text("utf-8")
    assert [name for name in sorted(SYSTEMS) if f"`{name}`" not in page] == []
