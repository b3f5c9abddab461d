"""How many rooms the code has, what leads from one to another, and that the contracts hold it."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.rooms import CHECKOUT, PACKAGES, Arrow, House, read_house, read_layers

MOST_ROOMS = 20
MOST_ARROWS = 66


def test_a_reader_can_keep_the_rooms_in_mind() -> None:
    """Before there are more, one is to take in another; decision 0019 has the figures."""
    house = read_house()
    assert len(house.rooms) <= MOST_ROOMS, sorted(house.rooms)
    assert len(house.arrows) <= MOST_ARROWS, sorted(house.arrows)


def test_no_module_needs_what_needs_it() -> None:
    """Neither at the top of a file, nor inside a function, nor for its types alone."""
    assert read_house().circle() == []


def test_no_arrow_leads_upward() -> None:
    """Rooms of one layer do not know each other either."""
    assert read_house().upward(read_layers()) == frozenset()


def test_a_circle_and_an_arrow_upward_are_found() -> None:
    """What the two tests above would see."""
    modules = {"gateway.app": {"gateway.ports"}, "gateway.ports": {"gateway.app"}, "devstack": ()}
    house = House({name: frozenset(imported) for name, imported in modules.items()})
    assert {*house.circle()} == {"gateway.app", "gateway.ports"}
    layers = [("devstack",), ("gateway.app",), ("gateway.ports",)]
    assert house.upward(layers) == {("gateway.ports", "gateway.app")}
    assert house.rooms == {"gateway.app", "gateway.ports", "devstack"}


def test_every_room_has_a_layer_and_its_importers_named() -> None:
    """A room that no contract names could import anything."""
    rooms = read_house().rooms
    layered = [room for layer in read_layers() for room in layer]
    assert sorted(layered) == sorted(rooms)
    assert sorted(importers()) == sorted(rooms)


def importers() -> dict[str, list[str]]:
    """Each room with those that may import it, as ``.importlinter`` has them."""
    config = configparser.ConfigParser()
    config.read(CHECKOUT / ".importlinter", "utf-8")
    contracts = [config[name] for name in config.sections() if "protected_modules" in config[name]]
    return {
        room: contract["allowed_importers"].split()
        for contract in contracts
        for room in contract["protected_modules"].split()
    }


def forbidden() -> list[Arrow]:
    allowed = importers()
    return [
        (room, other)
        for room in sorted(allowed)
        for other in sorted(allowed)
        if room != other and room not in allowed[other]
    ]


def test_contracts_make_no_exception() -> None:
    """Neither for single imports nor for those that only type checkers see."""
    text = (CHECKOUT / ".importlinter").read_text("utf-8")
    assert "ignore_imports" not in text
    assert "exclude_type_checking_imports" not in text


@pytest.mark.parametrize("guarded", ["", "if TYPE_CHECKING:\n    "], ids=["imported", "for types"])
def test_every_import_that_is_not_allowed_is_found(tmp_path: Path, guarded: str) -> None:
    """All of them planted at once in a copy: the report names each."""
    for package in PACKAGES:
        shutil.copytree(CHECKOUT / package, tmp_path / package)
    shutil.copy(CHECKOUT / ".importlinter", tmp_path)
    for room, other in forbidden():
        plant(tmp_path, room, f"{guarded}import {other}\n")
    report = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports; lint_imports()"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    broken = {line.strip(" -") for line in report.splitlines()}
    missed = [
        (room, other)
        for room, other in forbidden()
        if not any(line.startswith(f"{planted_in(room)} -> {other} ") for line in broken)
    ]
    assert missed == [], report


def planted_in(room: str) -> str:
    is_package = (CHECKOUT / room.replace(".", "/")).is_dir()
    return f"{room}.planted" if is_package else room


def plant(checkout: Path, room: str, line: str) -> None:
    path = checkout / (planted_in(room).replace(".", "/") + ".py")
    if not path.exists():
        path.write_text("from typing import TYPE_CHECKING\n", "utf-8")
    text = path.read_text("utf-8")
    if "TYPE_CHECKING" in line and "import TYPE_CHECKING" not in text:
        line = f"from typing import TYPE_CHECKING\n{line}"
    path.write_text(f"{text}{line}", "utf-8")
