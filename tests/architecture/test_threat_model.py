"""The threat model says what is true: each threat has its tests, and they are there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "threat-model.md"
BORDERS = {
    *("Client and gateway", "Gateway and core", "Gateway and OPA", "Gateway and object storage"),
    *("Gateway and Temporal", "Operator and admin listener", "Supply chain"),
}
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def threats() -> dict[str, list[list[str]]]:
    """Border → the cells of each of its threats."""
    found: dict[str, list[list[str]]] = {}
    border = ""
    for line in PAGE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            border = line.removeprefix("## ")
        elif re.match(r"\| [STRIDE] \|", line):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found.setdefault(border, []).append(cells)
    return found


@cache
def defined_in(path: str) -> frozenset[str]:
    tree = ast.parse((CHECKOUT / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def test_every_border_is_gone_through_by_all_six_letters() -> None:
    """A letter that is missing was forgotten, or ruled out without a word."""
    letters = {border: {cells[0] for cells in rows} for border, rows in threats().items()}
    assert letters == {border: set("STRIDE") for border in BORDERS}


@pytest.mark.parametrize("border", sorted(BORDERS))
def test_every_threat_names_tests_that_exist(border: str) -> None:
    """A renamed test takes its place in the table along."""
    for _, threat, measure, held_by in threats()[border]:
        named = _TEST.findall(held_by)
        assert measure, threat
        assert named, threat
        missing = [f"{path}::{name}" for path, name in named if name not in defined_in(path)]
        assert missing == [], threat
