"""``docs/architecture.md`` leads to what it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "architecture.md").read_text("utf-8")
_PLACE = re.compile(r"`([\w/.-]+\.(?:js|json|py|rego|ts))`: `(\w+)`")
_PATH = re.compile(r"`((?:[\w-]+/)+[\w-]+\.(?:css|html|js|json|py|rego|ts)|(?:[\w-]+/)+)`")
# The rooms of ``gateway/`` go by their short names there.
ROOTS = (CHECKOUT, CHECKOUT / "gateway")
TO_COME = PAGE.partition("What does not exist yet, and where it will stand:")[2].partition("\n## ")[
    0
]


def rows() -> dict[str, list[tuple[str, str]]]:
    """What is to be changed, with the files and names to open."""
    table = PAGE.partition("| to change | open |")[2].partition("\n\n")[0]
    lines = [line.strip("|").partition("|") for line in table.strip().splitlines()[1:]]
    return {change.strip(): _PLACE.findall(places) for change, _, places in lines}


ROWS = rows()


def test_the_map_has_enough_rows() -> None:
    """A newcomer's twenty questions."""
    assert len(ROWS) >= 20


@pytest.mark.parametrize("change", ROWS)
def test_each_row_leads_to_a_file_that_has_the_name(change: str) -> None:
    """A definition, or a key of a data file; not a mere mention."""
    assert ROWS[change], "names no file"
    for path, name in ROWS[change]:
        assert name in defined_in(CHECKOUT / path), (path, name)


def defined_in(path: Path) -> set[str]:
    text = path.read_text("utf-8")
    if path.suffix == ".json":
        return set(re.findall(r'"(\w+)":', text))
    if path.suffix == ".rego":
        return set(re.findall(r"^(?:default )?(\w+)\b", text, re.MULTILINE))
    if path.suffix in (".js", ".ts"):
        declared = r"^(?:export )?(?:default )?(?:async )?(?:class|const|function|let) (\w+)"
        return set(re.findall(declared, text, re.MULTILINE))
    return {name for node in ast.walk(ast.parse(text)) for name in names_of(node)}


def names_of(node: ast.AST) -> list[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


@pytest.mark.parametrize("path", sorted(set(_PATH.findall(PAGE.replace(TO_COME, "")))))
def test_each_path_on_the_page_exists(path: str) -> None:
    """A file that was moved takes the page along."""
    assert any((root / path).exists() for root in ROOTS)
