"""The TypeScript client before the whole stack, in Node, as npm installs it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from devstack.components import Missing
from devstack.sample import QUESTION, SAMPLE
from devstack.stack import Stack
from tests.components import missing_components
from tools.build_client import compile_to
from tools.node_packages import CLIENT, node

from .people import PASSWORD

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("stack")]

SCRIPT = Path(__file__).with_name("typescript_line.mjs")
MIB = 1024 * 1024
LIMIT_S = 150


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's project that has the client's package, without the network."""
    folder = tmp_path_factory.mktemp("node")
    # A copy: the package is built in it.
    ignored = shutil.ignore_patterns("node_modules", "dist")
    here = shutil.copytree(CLIENT.folder, folder / "client", ignore=ignored)
    try:
        compile_to(here / "dist")
    except Missing as error:
        missing_components(error)
    npm("pack", "--ignore-scripts", cwd=here)
    (package,) = here.glob("*.tgz")
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    npm("install", "--offline", "--no-audit", "--no-fund", str(package), cwd=folder)
    return folder


def npm(*arguments: str, cwd: Path) -> None:
    run(shutil.which("npm") or "npm", *arguments, cwd=cwd)


def run(*command: str, cwd: Path) -> str:
    """What it prints; it fails with that, too."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=cwd, timeout=LIMIT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_from_a_file_to_a_cited_answer_and_all_the_rest(stack: Stack, project: Path) -> None:
    """Uploaded, watched, asked about, downloaded, deleted; keys; parts that go on."""
    (project / "large.pdf").write_bytes(os.urandom(MIB) * 22)
    script = shutil.copy(SCRIPT, project)
    command = [str(node()), str(script), stack.base_url, PASSWORD, str(project)]
    told = json.loads(await asyncio.to_thread(run, *command, cwd=project))
    line = told["line"]
    assert "hundred and nine" in line.pop("answer")
    assert line == {
        "status": "indexed",
        "from": "ibex.txt",
        "gone": ["NOT_FOUND", 404],
        **dict.fromkeys(("same", "found", "again"), True),
    }
    assert told["key"] == {
        "subject": "alice",
        "forbidden": "string",
        "rotated": True,
        "revoked": True,
    }
    assert told["large"] == {
        "stopped": "AbortError",
        "failed": "failed",
        **dict.fromkeys(("same", "first", "last"), True),
    }
    assert told["wrong"] == ["INVALID_CREDENTIALS", 401]


async def test_the_ten_lines_of_the_readme_run(stack: Stack, project: Path) -> None:
    """As they are written, but for the address, the user, the file and the question."""
    readme = (CLIENT.folder / "README.md").read_text("utf-8")
    first = re.findall(r"```ts\n(.*?)```", readme, re.DOTALL)[0]
    assert len([line for line in first.splitlines() if line.strip()]) <= 10
    script = first.replace("https://kb.example.com", stack.base_url)
    script = script.replace('password: "…"', f"password: {json.dumps(PASSWORD)}")
    script = script.replace("report.pdf", str(SAMPLE))
    script = script.replace("What was decided?", QUESTION)
    assert "…" not in script
    (project / "ten_lines.js").write_text(script, "utf-8")
    told = await asyncio.to_thread(run, str(node()), "ten_lines.js", cwd=project)
    assert SAMPLE.name in told
