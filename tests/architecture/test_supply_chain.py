"""What the gateway is installed from: locked with digests, billed, audited where that can be."""

from __future__ import annotations

import ast
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.version import Version

CHECKOUT = Path(__file__).parents[2]
LOCK = CHECKOUT / "requirements.lock"
# Where it runs: Linux on both kinds of processor, on each Python of the classifiers.
PLACES = [
    {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "python_version": version,
        "python_full_version": f"{version}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for machine in ("x86_64", "aarch64")
    for version in ("3.11", "3.12", "3.13")
]


@pytest.fixture(scope="module")
def tools() -> dict[str, ModuleType]:
    """The checkout's own programs; they are not installed with the gateway."""
    sys.path.insert(0, str(CHECKOUT))
    try:
        names = ("lock", "sbom", "audit")
        return {name: importlib.import_module(f"tools.{name}") for name in names}
    finally:
        sys.path.remove(str(CHECKOUT))


def asked_for() -> list[Requirement]:
    """What ``setup.py`` needs at run time, traces included."""
    tree = ast.parse((CHECKOUT / "setup.py").read_text("utf-8"))
    lists = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    names = [name for name in ("REQUIRES", "OTEL") if name in lists]
    return [Requirement(text) for name in names for text in ast.literal_eval(lists[name])]


@pytest.mark.parametrize(
    "place", PLACES, ids=lambda p: f"{p['platform_machine']}-{p['python_version']}"
)
def test_the_lock_satisfies_what_setup_py_asks_for(
    tools: dict[str, ModuleType], place: dict[str, str]
) -> None:
    """A requirement that changed is locked again: python -m tools.lock."""
    packages = tools["lock"].locked(LOCK.read_text("utf-8"))
    here = [p for p in packages if p.marker is None or Marker(p.marker).evaluate(place)]
    versions = {package.name: Version(package.version) for package in here}
    assert len(versions) == len(here), "one version of each on one machine"
    wrong = [
        str(requirement)
        for requirement in asked_for()
        if requirement.marker is None or requirement.marker.evaluate(place)
        if (version := versions.get(requirement.name.lower())) is None
        or not requirement.specifier.contains(version, prereleases=True)
    ]
    assert wrong == []


def test_every_locked_package_has_digests_and_no_index(tools: dict[str, ModuleType]) -> None:
    """Whoever the files come from, they are these files."""
    text = LOCK.read_text("utf-8")
    packages = tools["lock"].locked(text)
    assert len(packages) >= len(asked_for())
    assert [package.name for package in packages if not package.sha256] == []
    assert "://" not in text
    assert "--index-url" not in text


def test_what_is_no_lock_is_refused(tools: dict[str, ModuleType]) -> None:
    """An open version in the lock would be none."""
    for line in ("sanic>=25.12", "sanic", "-e .", "--index-url https://example.com"):
        with pytest.raises(ValueError, match="not a locked package"):
            tools["lock"].locked(line)


def test_the_bill_of_materials_names_every_locked_package(tools: dict[str, ModuleType]) -> None:
    """With version and digests, twice the same from the same lock."""
    packages = tools["lock"].locked(LOCK.read_text("utf-8"))
    bill = tools["sbom"].bill(packages, tools["sbom"].version())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    billed = {
        (component["name"], component["version"]): {
            digest["content"] for digest in component["externalReferences"][0]["hashes"]
        }
        for component in bill["components"]
    }
    assert billed == {(p.name, p.version): set(p.sha256) for p in packages}
    root = bill["metadata"]["component"]["bom-ref"]
    assert bill["dependencies"] == [
        {"ref": root, "dependsOn": [f"pkg:pypi/{p.name}@{p.version}" for p in packages]}
    ]
    again = tools["sbom"].bill(packages, tools["sbom"].version())
    assert json.dumps(again) == json.dumps(bill)


GOOD = {"name": "sanic", "version": "25.12.1", "vulns": []}
SKIPPED = {"name": "other", "skip_reason": "Dependency not found on PyPI"}
FAULTY = {**GOOD, "vulns": [{"id": "PYSEC-1", "fix_versions": ["25.12.2"]}]}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([GOOD], 0, "1 packages audited"),
        ([GOOD, FAULTY], 1, "sanic 25.12.1: PYSEC-1, fixed in 25.12.2"),
        ([GOOD, SKIPPED], 1, "other: not known to the service"),
        ([SKIPPED, SKIPPED], 0, "NOT AUDITED"),
        (None, 0, "NOT AUDITED"),
    ],
)
def test_an_audit_that_did_not_happen_is_not_called_clean(
    tools: dict[str, ModuleType], packages: list[object] | None, status: int, said: str
) -> None:
    """Found: fails. Not asked: says so. Asked in part: fails."""
    report = None if packages is None else {"dependencies": packages}
    got, lines = tools["audit"].verdict(report)
    assert (got, said in lines[0]) == (status, True)
