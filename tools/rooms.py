"""Counts the rooms of the code, the arrows between them, the circles and the arrows upward.

A room is a package or a loose module directly in ``gateway/``, or one of ``blueprints`` and
``devstack``; an arrow leads from a room to another one that it imports, in whatever way: at the
top, inside a function or under ``TYPE_CHECKING``. Circles are looked for among modules, which is
stricter than among rooms. What is up and what is down is read from the layers in ``.importlinter``.

    python -m tools.rooms          the figures, then each room with what it imports
"""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("gateway", "blueprints", "devstack")

Arrow = tuple[str, str]


@dataclass(frozen=True, slots=True)
class House:
    """``modules``: each module with the modules it imports, all by their dotted names."""

    modules: Mapping[str, frozenset[str]]

    @property
    def rooms(self) -> frozenset[str]:
        """``gateway`` itself holds the version alone, and is not counted."""
        return frozenset(map(room_of, self.modules)) - {"gateway"}

    @property
    def arrows(self) -> frozenset[Arrow]:
        found = {
            (room_of(importer), room_of(imported))
            for importer, all_imported in self.modules.items()
            for imported in all_imported
        }
        return frozenset((one, other) for one, other in found if one != other != "gateway")

    def circle(self) -> list[str]:
        """The modules of one circle, the first one twice; empty where there is none."""
        try:
            TopologicalSorter(self.modules).prepare()
        except CycleError as found:
            return list(found.args[1])
        return []

    def upward(self, layers: Iterable[Iterable[str]]) -> frozenset[Arrow]:
        """Arrows that lead up, or to the same layer; ``layers`` are rooms, from the top down."""
        depth = {room: depth for depth, layer in enumerate(layers) for room in layer}
        return frozenset((one, other) for one, other in self.arrows if depth[one] >= depth[other])


def room_of(module: str) -> str:
    """``gateway.edge.wire.http1`` belongs to ``gateway.edge``, ``blueprints.keys`` to itself."""
    first, *rest = module.split(".")
    return f"{first}.{rest[0]}" if first == "gateway" and rest else first


def read_house(checkout: Path = CHECKOUT) -> House:
    """All imports below ``checkout`` among the packages, as the source has them."""
    sources = {
        _name_of(path.relative_to(checkout)): path
        for package in PACKAGES
        for path in (checkout / package).rglob("*.py")
    }
    return House(
        {
            name: frozenset(_imported(path, sources.keys())) - {name}
            for name, path in sources.items()
        }
    )


def read_layers(checkout: Path = CHECKOUT) -> list[tuple[str, ...]]:
    """The layers that import-linter holds, from the top down; a layer's rooms are equals."""
    config = configparser.ConfigParser()
    config.read(checkout / ".importlinter", "utf-8")
    lines = config["importlinter:contract:layers"]["layers"].split("\n")
    return [tuple(room.strip() for room in line.split("|")) for line in lines if line.strip()]


def _name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _imported(path: Path, known: Iterable[str]) -> Iterator[str]:
    known = frozenset(known)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            full = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in known else node.module for name in full)


def main() -> None:
    house = read_house()
    rooms, arrows, circle = house.rooms, house.arrows, house.circle()
    print(f"{len(rooms)} rooms, {len(arrows)} arrows")
    for importer, imported in pairwise(circle):
        print(f"circle: {importer} -> {imported}")
    for one, other in sorted(house.upward(read_layers())):
        print(f"upward: {one} -> {other}")
    for room in sorted(rooms):
        print(f"  {room}: {', '.join(sorted(other for one, other in arrows if one == room))}")


if __name__ == "__main__":
    main()
