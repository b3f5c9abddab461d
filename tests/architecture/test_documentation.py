"""What is written about settings and commands is what there is."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.commands.cli import make_parser
from gateway.settings import SPECS
from gateway.settings.generated import COMMAND, generate

CHECKOUT = Path(__file__).parents[2]
PAGES = [
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    *sorted((CHECKOUT / "docs").rglob("*.md")),
]
_COMMAND = re.compile(r"(?:^|&&|`)\s*(gateway [a-z][^`&#\n|]*)", re.MULTILINE)
_SETTING = re.compile(r"\bGATEWAY_[A-Z0-9_]*[A-Z0-9]\b(?!_|…|\*)")
_LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)#?([^)\s]*)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
NOT_SETTINGS = {"GATEWAY_CONFIG_FILE", "GATEWAY_PROBE_TOKEN", "GATEWAY_REQUIRE_REAL"}


@pytest.mark.parametrize("path", generate(SPECS), ids=str)
def test_generated_files_are_up_to_date(path: Path) -> None:
    """A changed setting changes its page, in the same commit."""
    assert (CHECKOUT / path).read_text("utf-8") == generate(SPECS)[path], f"run: {COMMAND}"


def commands(parser: argparse.ArgumentParser, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every command and subcommand with the one line of help it has in its parent's list."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, below in action.choices.items():
                yield prefix + name, helps.get(name, "")
                yield from commands(below, f"{prefix}{name} ")


ALL_COMMANDS = dict(commands(make_parser({})))


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_every_command_has_help(name: str) -> None:
    """``gateway --help`` says what each command does."""
    assert len(ALL_COMMANDS[name].split()) >= 3


def written_commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for match in _COMMAND.finditer(page.read_text("utf-8")):
            yield page.name, match[1].strip()


@pytest.mark.parametrize(("page", "command"), sorted(set(written_commands())))
def test_commands_in_the_documentation_exist(page: str, command: str) -> None:
    """A reader can type what the pages show: the command is there, and so are its options."""
    words = [word for word in shlex.split(command)[1:] if "…" not in word]
    parser = make_parser({})
    while words and (below := _below(parser, words[0])) is not None:
        parser, words = below, words[1:]
    assert parser.prog != "gateway" or words[:1] in (["--version"], ["--help"]), command
    if parser.prog == "gateway demo":
        return  # its options are its own, and tested with it
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    assert options <= set(parser._option_string_actions), command


def _below(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser | None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and name in action.choices:
            found: argparse.ArgumentParser = action.choices[name]
            return found
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_in_the_documentation_exist(page: Path) -> None:
    """A setting that was renamed is renamed everywhere."""
    known = {spec.env for spec in SPECS.values()} | NOT_SETTINGS
    known |= {f"{spec.env}_FILE" for spec in SPECS.values() if spec.secret}
    assert set(_SETTING.findall(page.read_text("utf-8"))) <= known


def links() -> Iterator[tuple[Path, str, str]]:
    for page in [*PAGES, CHECKOUT / "CHANGELOG.md"]:
        for match in _LINK.finditer(page.read_text("utf-8")):
            yield page, match[1], match[2]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: lower case, hyphens for blanks, no punctuation."""
    headings = _HEADING.findall(page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize(("page", "target", "anchor"), sorted(set(links())), ids=str)
def test_links_between_pages_lead_somewhere(page: Path, target: str, anchor: str) -> None:
    """A page that was moved or never written leaves no reader in front of a 404."""
    found = page.parent / target if target else page
    assert found.exists(), f"{page.name} links to {target}"
    if anchor:
        assert anchor in anchors(found), f"{page.name} links to {target}#{anchor}"


_SIZE = re.compile(r"(\d+) ([KMG]iB)(?: \(| \| )`(GATEWAY_[A-Z0-9_]+)`")


def test_sizes_beside_a_setting_are_its_default() -> None:
    """A limit that is told with its setting is the limit that holds."""
    defaults = {spec.env: spec.default for spec in SPECS.values()}
    told = [
        (page.name, name, f"{number}{unit}")
        for page in PAGES
        for number, unit, name in _SIZE.findall(page.read_text("utf-8"))
    ]
    assert ("streaming.md", "GATEWAY_ANSWER_LIMIT", "8MiB") in told
    assert [one for one in told if one[2] != defaults[one[1]]] == []


def test_forms_are_shown_with_form_string() -> None:
    """``curl -F`` cuts a value at ``;``, so no page shows a value with it."""
    cut = re.compile(r"(?:^|\s)-F\s*[\"']?\w+=(?!@)", re.MULTILINE)
    assert [page.name for page in PAGES if cut.search(page.read_text("utf-8"))] == []
