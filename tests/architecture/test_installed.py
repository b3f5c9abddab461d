"""What is tested is what users install."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

import knowledge_base
import pytest

import blueprints
import devstack
import gateway

CHECKOUT = Path(__file__).parents[2]


def test_distribution_has_the_packages_version() -> None:
    """``pip show`` and ``gateway --version`` agree."""
    try:
        version = importlib.metadata.version("knowledge-base-gateway")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed; tox installs the wheel")
    assert version == gateway.__version__


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="run by tox, which installs the wheel")
@pytest.mark.parametrize(
    "package", [gateway, blueprints, devstack, knowledge_base], ids=lambda p: p.__name__
)
def test_tests_run_against_the_installed_wheel(package: object) -> None:
    """A file missing from the wheel would not be missed in the checkout."""
    place = Path(str(package.__file__))  # type: ignore[attr-defined]
    assert "site-packages" in place.parts
    assert CHECKOUT / package.__name__ not in place.parents  # type: ignore[attr-defined]


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="run by tox, which installs the wheel")
def test_the_wheel_holds_the_policy_and_not_its_tests() -> None:
    """The embedded engine needs the policy; its tests and golden inputs are the checkout's."""
    installed = Path(gateway.__file__).parent / "policy_files"
    found = {path.relative_to(installed).as_posix() for path in installed.rglob("*.*")}
    policy = {
        path.relative_to(CHECKOUT / "opa").as_posix()
        for path in (CHECKOUT / "opa").rglob("*.rego")
        if not path.name.endswith("_test.rego")
    }
    assert found == policy | {"data.json"}
    assert (installed.parent / "adapters" / "default_policy.tar.gz").is_file()
