"""The pins, and building them with a ``go`` that is a script."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devstack import fetch
from devstack.components import cache_dir
from devstack.fetch import FetchFailed, Pin, missing, parse_pins

# As it is before a test takes the interpreter away.
PYTHON = sys.executable
OPA = Pin("opa", "example.com/opa/cmd/server", "v1.2.3")


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing beside the interpreter, on PATH or in the cache; gives PATH's folder."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setattr("devstack.components.sys.executable", str(tmp_path / "none" / "python"))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def go(folder: Path, script: str) -> None:
    path = folder / "go"
    path.write_text(f"#!{PYTHON}\nimport os, sys\n{script}\n")
    path.chmod(0o755)


def binary(version: str) -> bytes:
    return b"#!/bin/sh\n# \nmod\texample.com/opa\t" + version.encode() + b"\th1:x=\n"


def test_pins_are_the_requirements_that_name_a_program() -> None:
    """Package and program come from the comment; other lines are not pins."""
    text = """
module example.com/tools

go 1.24

require (
\texample.com/opa v1.2.3 // example.com/opa/cmd/server as opa
\texample.com/library v0.1.0 // indirect
)
require example.com/one/v2 v2.0.0-rc.1 // example.com/one/v2 as one
"""
    assert parse_pins(text) == [OPA, Pin("one", "example.com/one/v2", "v2.0.0-rc.1")]


def test_what_the_demo_can_build_is_pinned() -> None:
    """The installed copy of the pins has every program the demo looks for."""
    assert set(fetch.DEMO_NEEDS) <= {pin.program for pin in fetch.pins()}


@pytest.mark.usefixtures("empty_machine")
def test_program_in_the_cache_counts_at_its_pinned_version_only() -> None:
    """A new pin is built even though an older build is in the cache."""
    cache_dir().mkdir(parents=True)
    program = cache_dir() / "opa"
    program.write_bytes(binary("v1.2.2"))
    program.chmod(0o755)
    assert missing([OPA]) == [OPA]
    program.write_bytes(binary("v1.2.3"))
    assert missing([OPA]) == []


def test_program_on_path_is_left_alone(empty_machine: Path) -> None:
    """What the user installed is the user's."""
    program = empty_machine / "opa"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert missing([OPA]) == []


async def test_built_program_lands_in_the_cache_under_its_name(empty_machine: Path) -> None:
    """Whatever ``go install`` calls it, it is found by the name we look for."""
    go(
        empty_machine,
        "print('compiling', sys.argv[-1])\n"
        "path = os.path.join(os.environ['GOBIN'], 'server')\n"
        f"open(path, 'wb').write({binary('v1.2.3')!r})\n"
        "os.chmod(path, 0o755)",
    )
    lines: list[str] = []
    await fetch.fetch([OPA], lines.append)
    assert missing([OPA]) == []
    assert [path.name for path in cache_dir().iterdir()] == ["opa"]
    assert "go install example.com/opa/cmd/server@v1.2.3" in lines[0]


async def test_failed_build_shows_its_last_lines_and_leaves_nothing(empty_machine: Path) -> None:
    """The cache holds whole programs or nothing."""
    go(empty_machine, "sys.exit('no required module provides package')")
    with pytest.raises(FetchFailed, match=r"(?s)opa: go install ended with 1.*no required module"):
        await fetch.fetch([OPA], lambda line: None)
    assert list(cache_dir().iterdir()) == []


@pytest.mark.usefixtures("empty_machine")
async def test_machine_without_go_gets_a_sentence() -> None:
    """It says what to install, and that the demo does without."""
    with pytest.raises(FetchFailed, match=r"no `go` on PATH.*embedded substitutes"):
        await fetch.fetch([OPA], lambda line: None)


@pytest.mark.usefixtures("empty_machine")
def test_unknown_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Names are those of the pins."""
    with pytest.raises(SystemExit) as ended:
        fetch.main(["opaque"])
    assert ended.value.code == 2
    assert "unknown: opaque" in capsys.readouterr().err
