"""What is made of the TypeScript client's sources is committed, and is what they say today."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.components import Missing
from tests.components import missing_components
from tools import build_client
from tools.build_client import CONSOLE, TYPES
from tools.node_packages import CHECKOUT, CLIENT, node

pytestmark = pytest.mark.xdist_group("typescript")

TESTS = CLIENT.folder / "tests"
# What a page loads before it uploads something, packed, and what it loads for that.
FIRST_LIMIT_BYTES, ALL_LIMIT_BYTES = 13 * 1024, 22 * 1024
LINES = 400


def built(make: Callable[[Path], None], to: Path) -> Path:
    """Without Node or the packages the test is skipped, or fails where all must be real."""
    try:
        make(to)
    except Missing as error:
        missing_components(error)
    except subprocess.CalledProcessError as error:
        pytest.fail(error.stdout + error.stderr)
    return to


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text("utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as npm would have it, with its types, among a project's modules."""
    folder = tmp_path_factory.mktemp("project") / "node_modules" / "knowledge-base-client"
    folder.mkdir(parents=True)
    shutil.copy(CLIENT.folder / "package.json", folder)
    return built(build_client.compile_to, folder / "dist")


def test_the_types_are_those_of_the_api(tmp_path: Path) -> None:
    """A field that the API has and the types do not is one that nobody can use."""
    made = built(build_client.write_types, tmp_path / "openapi.ts")
    assert made.read_text("utf-8") == TYPES.read_text("utf-8"), "run python -m tools.build_client"


def test_the_console_loads_what_the_sources_say(tmp_path: Path) -> None:
    """File by file."""
    made = built(build_client.compile_for_console, tmp_path / "client")
    assert files(made) == files(CONSOLE), "run python -m tools.build_client"


def test_a_page_loads_little() -> None:
    """Uploads are loaded when one is made, and nothing of Node ever is."""
    first = {name for name in files(CONSOLE) if not name.startswith("uploads/")}
    sizes = {name: len(gzip.compress(text.encode())) for name, text in files(CONSOLE).items()}
    assert sum(sizes[name] for name in first) < FIRST_LIMIT_BYTES, sizes
    assert sum(sizes.values()) < ALL_LIMIT_BYTES, sizes
    uses_node = {name for name, text in files(CONSOLE).items() if '"node:' in text}
    assert uses_node == {"uploads/node_source.js"}


def test_nothing_is_needed_but_the_platform() -> None:
    """No dependency at run time; the sources stay small enough to be read."""
    package = json.loads((CLIENT.folder / "package.json").read_text("utf-8"))
    assert "dependencies" not in package
    # What bundlers for pages are to leave out, by its compiled name.
    (left_out,) = package["browser"]
    assert '"node:' in (CONSOLE / Path(left_out).relative_to("dist")).read_text("utf-8")
    too_long = {
        path.name
        for path in [*(CLIENT.folder / "src").rglob("*.ts"), *TESTS.glob("*.mjs")]
        if path != TYPES and len(path.read_text("utf-8").splitlines()) > LINES
    }
    assert too_long == set()


def test_a_users_compiler_agrees(compiled: Path) -> None:
    """With the ten lines of the README, and with what it must refuse."""
    project = compiled.parents[2]
    readme = (CLIENT.folder / "README.md").read_text("utf-8")
    ten_lines = project / "ten_lines.mts"
    ten_lines.write_text(re.findall(r"```ts\n(.*?)```", readme, re.DOTALL)[0], "utf-8")
    usage = project / "typed_usage.mts"
    shutil.copy(TESTS / "typed_usage.ts", usage)
    built(lambda cwd: build_client.check_types(ten_lines, usage, cwd=cwd), project)


def test_the_consoles_scripts_agree_with_the_client(tmp_path: Path, compiled: Path) -> None:
    """A call of a method that is not there would be found by whoever opens that screen."""
    built(lambda folder: build_client.check_console(folder, compiled), tmp_path / "static")


def test_its_own_tests_pass(compiled: Path) -> None:
    """Node's own runner, on what was compiled."""
    done = subprocess.run(
        [str(node()), "--test", *(str(path) for path in sorted(TESTS.glob("*.test.mjs")))],
        env={"PATH": "/usr/bin:/bin", "KB_CLIENT": str(compiled)},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
