"""The protos: linted, compatible with those of the last release, and what the code is made of."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from devstack.components import Missing, find_program
from tests.components import missing_components

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    """The checkout's own program; it is not installed with the gateway."""
    sys.path.insert(0, str(CHECKOUT))
    try:
        return importlib.import_module("tools.build_proto")
    finally:
        sys.path.remove(str(CHECKOUT))


@pytest.fixture
def buf() -> None:
    if find_program("buf") is None:
        missing_components(Missing("buf: not found; `python -m devstack.fetch buf` builds it"))


def test_generated_code_is_what_the_protos_say(tool: ModuleType) -> None:
    """Whoever changes a proto makes the code again: python -m tools.build_proto."""
    for target in tool.TARGETS:
        folder = CHECKOUT / target.folder
        committed = {path.name: path.read_text("utf-8") for path in folder.glob("*_pb2*")}
        assert committed == tool.generate(target)
        assert committed


def test_every_package_of_protos_has_its_code(tool: ModuleType) -> None:
    """A proto that nothing is made of would be a promise that nobody keeps."""
    found = {path.parent.relative_to(tool.PROTO) for path in tool.PROTO.rglob("*.proto")}
    assert {str(folder) for folder in found} == {target.package for target in tool.TARGETS}


@pytest.mark.usefixtures("buf")
def test_protos_are_linted(tool: ModuleType) -> None:
    """By the rules of ``buf.yaml``."""
    tool.lint()


@pytest.mark.usefixtures("buf")
def test_protos_break_nobody_who_uses_those_of_the_last_release(tool: ModuleType) -> None:
    """A core that was built against them goes on working."""
    tool.compare()


@pytest.mark.usefixtures("buf")
@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("  string text = 5;", "  string text = 15;"),
        ("  optional string sha256 = 9;\n", ""),
        ("  rpc Search(SearchRequest) returns (SearchResponse);\n", ""),
    ],
)
def test_a_change_that_breaks_is_found(
    tool: ModuleType, tmp_path: Path, was: str, becomes: str
) -> None:
    """A field with another number, one that is gone, a call that is gone."""
    shutil.copytree(tool.PROTO, tmp_path / "proto")
    shutil.copy(CHECKOUT / "buf.yaml", tmp_path)
    changed = tmp_path / "proto/knowledge/core/v1/core.proto"
    text = changed.read_text("utf-8")
    assert was in text
    changed.write_text(text.replace(was, becomes), "utf-8")
    with pytest.raises(tool.BuildFailed):
        tool.compare(tmp_path)
