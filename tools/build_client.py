"""``python -m tools.build_client``: writes again what is made of the TypeScript client.

Its types from the API's OpenAPI document (``clients/typescript/src/openapi.ts``), and from all
its sources the files that the console loads (``blueprints/console/static/client``). Both are
committed, so that neither an installation nor the image needs Node; a test makes them again and
compares.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from devstack.components import Missing
from tools.node_packages import CHECKOUT, CLIENT, node

OPENAPI = CHECKOUT / "versions" / "v1" / "openapi.json"
TYPES = CLIENT.folder / "src" / "openapi.ts"
CONSOLE = CHECKOUT / "blueprints" / "console" / "static" / "client"
LIMIT_S = 5 * 60
# How the console's scripts are checked; their types stand in comments.
_PAGE = {
    "target": "ES2022",
    "module": "ES2022",
    "moduleResolution": "bundler",
    "types": [],
    "lib": ["ES2023", "DOM", "DOM.Iterable"],
    "strict": True,
    "skipLibCheck": True,
    "allowJs": True,
    "checkJs": True,
    "noEmit": True,
}


def write_types(to: Path) -> None:
    """The types of what the API takes and gives.

    Raises:
        Missing: Node, or the packages, are not there.
        subprocess.CalledProcessError: its output says why.
    """
    # Fields with a default may be missing from an answer: a newer server adds them.
    options = ["--default-non-nullable", "false", "--output", str(to)]
    _run("openapi-typescript/bin/cli.js", str(OPENAPI), *options)


def compile_to(folder: Path, *, project: str = "tsconfig.json") -> None:
    """Compiles the sources; raises as ``write_types`` does, also where a type is wrong."""
    types = str(CLIENT.modules() / "@types")
    options = ["--project", str(CLIENT.folder / project), "--typeRoots", types]
    _run("typescript/bin/tsc", *options, "--outDir", str(folder))


def compile_for_console(folder: Path) -> None:
    """Without comments and declarations: what a browser loads."""
    compile_to(folder, project="tsconfig.console.json")


def check_types(*files: Path, cwd: Path) -> None:
    """As a user's strict compiler would, in Node or for a page; raises as ``compile_to`` does."""
    types = str(CLIENT.modules() / "@types")
    options = ["--noEmit", "--strict", "--target", "ES2022", "--module", "NodeNext"]
    options += ["--lib", "ES2022,DOM,DOM.Iterable", "--types", "node", "--typeRoots", types]
    _run("typescript/bin/tsc", *options, *(str(file) for file in files), cwd=cwd)


def check_console(folder: Path, compiled: Path) -> None:
    """Whether the console's scripts use the client, and one another, as their types say.

    ``folder`` is for a copy of them, beside the declarations of what ``compile_to`` made; raises
    as that does.
    """
    shutil.copytree(CONSOLE.parent, folder, ignore=shutil.ignore_patterns("client"))
    shutil.copytree(compiled, folder / "client", ignore=shutil.ignore_patterns("*.js"))
    config = {"compilerOptions": _PAGE, "include": ["**/*.js", "**/*.d.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(config))
    _run("typescript/bin/tsc", "--project", ".", cwd=folder)


def _run(script: str, *arguments: str, cwd: Path = CHECKOUT) -> None:
    command = [str(node()), str(CLIENT.modules() / script), *arguments]
    run = partial(subprocess.run, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    run(command, cwd=cwd)


def main() -> int:
    """0 when all was written."""
    try:
        write_types(TYPES)
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "client"
            compile_for_console(made)
            shutil.rmtree(CONSOLE, ignore_errors=True)
            shutil.copytree(made, CONSOLE)
    except Missing as problem:
        print(problem, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as problem:
        print(problem.stdout, problem.stderr, sep="", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
