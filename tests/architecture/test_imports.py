"""What may be imported where, beyond the contracts that import-linter holds (.importlinter)."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import gateway

PACKAGE = Path(gateway.__file__).parent
BLUEPRINTS = PACKAGE.parent / "blueprints"
DOMAIN_MAY_IMPORT = {"gateway", "jwt", "msgspec"}
# The entrances hand the environment on; whoever else looks at it has settings of its own.
READS_ENVIRONMENT = {Path("commands/cli.py"), Path("commands/health.py"), Path("probe.py")}


def modules(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(folder.rglob("*.py")):
        yield path, ast.parse(path.read_text("utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    """Top-level names of everything a module imports, at any depth of nesting."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name comes from"
            yield (node.module or "").partition(".")[0]


def test_domain_imports_the_standard_library_jwt_and_msgspec_only() -> None:
    """Rules are plain functions: no framework, no vendor, no I/O library."""
    allowed = DOMAIN_MAY_IMPORT | sys.stdlib_module_names
    for path, tree in modules(PACKAGE / "domain"):
        assert set(imported(tree)) <= allowed, path


def test_domain_never_awaits() -> None:
    """What needs an ``await`` is a flow's or an adapter's."""
    for path, tree in modules(PACKAGE / "domain"):
        found = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)]
        assert not found, path


def test_only_the_entrance_reads_the_environment() -> None:
    """Settings come through ``Settings``; a look past it would be a setting nobody knows of."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    assert names & set(vars(os))
    for folder in (PACKAGE, BLUEPRINTS):
        for path, tree in modules(folder):
            used = {node.attr for node in ast.walk(tree) if _is_os(node)} & names
            direct = {
                alias.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module == "os"
                for alias in node.names
            } & names
            assert not (used | direct) or path.relative_to(folder) in READS_ENVIRONMENT, path


def _is_os(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    )
