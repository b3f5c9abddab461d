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
    *("Gateway and Temporal", "Gateway and Redis", "Operator and admin listener", "Supply chain"),
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


@cache
def assertions(path: str) -> dict[str, bool]:
    """Each test of a file, and whether something in it, or in what it calls there, can fail."""
    tree = ast.parse((CHECKOUT / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = {node.name: node for node in tree.body if isinstance(node, functions)}
    found = {name: _can_fail(node) for name, node in bodies.items()}
    for _ in range(2):
        found = {
            name: can_fail or any(found.get(called, False) for called in _calls(bodies[name]))
            for name, can_fail in found.items()
        }
    return found


def _calls(node: ast.AST) -> set[str]:
    parts = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {called.split("(")[0].split(".")[-1] for called in (ast.unparse(p.func) for p in parts)}


def _can_fail(node: ast.AST) -> bool:
    asserts = any(isinstance(part, ast.Assert) for part in ast.walk(node))
    return asserts or any(
        name in ("raises", "fail") or name.startswith(("assert_", "expect_"))
        for name in _calls(node)
    )


@pytest.mark.parametrize("border", sorted(BORDERS))
def test_every_test_of_a_threat_asserts_something(border: str) -> None:
    """One that only runs, or is switched off, holds no measure."""
    for _, threat, _, held_by in threats()[border]:
        for path, name in _TEST.findall(held_by):
            assert assertions(path)[name], f"{threat}: {path}::{name}"


@pytest.mark.parametrize("border", sorted(BORDERS))
def test_every_threat_names_tests_that_exist(border: str) -> None:
    """A renamed test takes its place in the table along."""
    for _, threat, measure, held_by in threats()[border]:
        named = _TEST.findall(held_by)
        assert measure, threat
        assert named, threat
        missing = [f"{path}::{name}" for path, name in named if name not in defined_in(path)]
        assert missing == [], threat
