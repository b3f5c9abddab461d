"""The image, built once for all its tests, on a base that has no shell."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway import __version__

from .engine import Engine, NoEngine, find_engine

CHECKOUT = Path(__file__).parents[2]
IMAGE = "localhost/knowledge-base-gateway:test"
RUNTIME = "localhost/knowledge-base-gateway-runtime:test"


@dataclass(frozen=True)
class Built:
    """The engine, the image's name, what it was built with, and what ``inspect`` says of it."""

    engine: Engine
    name: str
    arguments: dict[str, str]
    inspected: dict[str, Any]

    @property
    def layers(self) -> list[str]:
        layers: list[str] = self.inspected["RootFS"]["Layers"]
        return layers


@pytest.fixture(scope="session")
def built() -> Built:
    try:
        engine, base = find_engine()
    except NoEngine as problem:
        if os.environ.get("GATEWAY_REQUIRE_REAL") == "1":
            pytest.fail(str(problem))
        pytest.skip(str(problem))
    here = Path(__file__).parent
    recipe = here / "shell-less.Dockerfile"
    engine.build(RUNTIME, here, {"BASE_IMAGE": base}, "-f", recipe)
    arguments = {
        "BASE_IMAGE": base,
        "RUNTIME_IMAGE": RUNTIME,
        "VERSION": __version__,
        "REVISION": "0123456789abcdef",
    }
    return Built(engine, IMAGE, arguments, engine.build(IMAGE, CHECKOUT, arguments))
