"""Modules stay small enough to be read in one go."""

from __future__ import annotations

from pathlib import Path

import blueprints
import devstack
import gateway

LINES = 400
# Nobody reads what a compiler made; test_protos holds it.
GENERATED = "_pb2.py"
CLIENT = Path(__file__).parents[2] / "clients" / "python"
FOLDERS = [
    *(Path(str(package.__file__)).parent for package in (gateway, blueprints, devstack)),
    CLIENT,
]


def test_no_module_is_longer_than_400_lines() -> None:
    """The file where wiring gathers is split before it is the worst of them."""
    too_long = {
        path.name: count
        for folder in FOLDERS
        for path in folder.rglob("*.py")
        if not path.name.endswith(GENERATED)
        if (count := len(path.read_text("utf-8").splitlines())) > LINES
    }
    assert too_long == {}
