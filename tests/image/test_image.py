"""What the image is: its contents, its labels, its layers. It is built for real."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway import __version__

from .conftest import CHECKOUT, Built

pytestmark = [pytest.mark.timeout(1500), pytest.mark.xdist_group("image")]


def test_its_command_runs_without_shell_rights_or_a_place_to_write(built: Built) -> None:
    """As user 65532, with no capability, on a read-only root, on a base that has no shell."""
    assert built.engine.run(built.name, "--version").stdout.strip() == f"gateway {__version__}"
    shell = built.engine.run("--entrypoint", "/bin/sh", built.name, "-c", "true", check=False)
    assert shell.returncode == 127


def test_it_holds_the_environment_and_its_bytecode_only(built: Built) -> None:
    """No sources, no pip, no build tools: what is not there cannot be used, or have a flaw."""
    code = """if True:
        import importlib.util, os
        print(*sorted(os.listdir("/gateway")))
        print(os.path.exists("/src"), os.path.exists("/build"), importlib.util.find_spec("pip"))
        import gateway.commands.cli
        print(gateway.commands.cli.__file__, gateway.commands.cli.__cached__)
    """
    said = built.engine.run("--entrypoint", "python", built.name, "-c", code).stdout.splitlines()
    assert set(said[0].split()) <= {"bin", "bytecode", "include", "lib", "lib64", "pyvenv.cfg"}
    assert said[1] == "False False None"
    place, compiled = said[2].split()
    assert place.startswith("/gateway/lib/")
    assert compiled.startswith("/gateway/bytecode/gateway/lib/")


def test_nothing_is_compiled_at_start(built: Built) -> None:
    """On a read-only root it would be compiled at every start; the bytecode needs no date."""
    code = "import gateway.commands.cli, gateway.app, asyncio, ssl"
    said = built.engine.run("--entrypoint", "python", built.name, "-v", "-c", code).stderr
    loaded = [line for line in said.splitlines() if line.startswith("# code object from ")]
    assert any(".pyc'" in line for line in loaded)
    assert [line for line in loaded if line.endswith(".py'")] == []


def test_settings_of_the_image(built: Built) -> None:
    """A numeric user, commands in exec form, and labels that say what it is."""
    config = built.inspected["Config"]
    assert config["User"] == "65532:65532"
    assert (config["Entrypoint"], config["Cmd"]) == (["gateway"], ["serve"])
    check = config.get("Healthcheck") or built.inspected["Healthcheck"]
    assert check["Test"] == ["CMD", "python", "-m", "gateway.commands.health"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"] == built.arguments["REVISION"]
    assert labels["org.opencontainers.image.base.name"] == built.arguments["RUNTIME_IMAGE"]


def test_the_same_inputs_give_the_same_layers(built: Built) -> None:
    """Built again from nothing, every layer has the same digest: file dates and order included."""
    bases = (built.arguments["BASE_IMAGE"], built.arguments["RUNTIME_IMAGE"])
    with built.engine.aside(*bases) as aside:
        again = aside.build(f"{built.name}-again", CHECKOUT, built.arguments, "--no-cache")
    assert again["RootFS"]["Layers"] == built.layers


def test_a_change_of_the_code_changes_one_layer(built: Built, tmp_path: Path) -> None:
    """What the gateway depends on is neither installed nor sent to the registry again."""
    for name in ("gateway", "blueprints", "devstack", "opa"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=ignored)
    for path in CHECKOUT.iterdir():
        if path.is_file():
            shutil.copy2(path, tmp_path)
    (tmp_path / "gateway" / "new.py").write_text('"""New."""\n')
    changed = built.engine.build(f"{built.name}-changed", tmp_path, built.arguments)
    layers = changed["RootFS"]["Layers"]
    assert layers[:-1] == built.layers[:-1]
    assert layers[-1] != built.layers[-1]
