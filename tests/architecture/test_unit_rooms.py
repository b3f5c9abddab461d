"""``tests/unit`` has the rooms of ``gateway/``, so that a module's tests are found by its path."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
UNIT = CHECKOUT / "tests" / "unit"
# Beside the gateway's own rooms: what is installed with it, and what is found in the checkout.
BESIDE_THE_GATEWAY = ("blueprints", "devstack", "benchmarks", "tools")


def test_every_folder_of_unit_tests_is_a_room() -> None:
    """``tests/unit/edge/wire`` tests ``gateway/edge/wire``, and nothing of another room."""
    folders = {path.parent.relative_to(UNIT) for path in UNIT.rglob("test_*.py")}
    assert sorted(str(folder) for folder in folders if not _room_of(folder).is_dir()) == []


def test_no_unit_test_stands_outside_the_rooms() -> None:
    """A test that fits no room tests more than one unit: its place is ``edge`` or ``system``."""
    assert [path.name for path in UNIT.glob("test_*.py")] == []


def _room_of(folder: Path) -> Path:
    beside = folder.parts and folder.parts[0] in BESIDE_THE_GATEWAY
    return (CHECKOUT if beside else CHECKOUT / "gateway") / folder
