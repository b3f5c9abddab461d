"""What stands in one place of the edge, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import blueprints
import gateway

PACKAGES = [Path(str(package.__file__)).parent for package in (gateway, blueprints)]


def files_with(pattern: str) -> set[str]:
    """The files of the gateway and its blueprints whose text holds ``pattern``."""
    return {
        path.relative_to(package.parent).as_posix()
        for package in PACKAGES
        for path in package.rglob("*.py")
        if re.search(pattern, path.read_text("utf-8"))
    }


def test_the_applications_context_is_typed() -> None:
    """Sanic's ``app.ctx`` takes any name: it is read and written where its one value has a type."""
    assert files_with(r"\bapp\.ctx\b") == {"gateway/edge/context.py"}


def test_the_place_of_the_api_is_spelled_once() -> None:
    """Routes, the public list and the URLs in answers follow from it."""
    assert files_with(r"[\"']/api\b") == {"gateway/domain/versions.py"}
