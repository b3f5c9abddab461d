"""``python -m tools.node_packages [NAME …]``: installs npm's packages that tests and tools need.

Each set is a folder of the checkout with a ``package-lock.json``. It is installed into a folder of
our cache that is named after the digest of that file. Needs Node 20 or newer, with npm.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack.components import Missing, cache_dir

CHECKOUT = Path(__file__).parents[1]
OLDEST_NODE = 20
INSTALL_LIMIT_S = 10 * 60
_HOW = (
    "Node 20 or newer with npm is needed (Debian 13 and Ubuntu 25.04:"
    " `apt-get install nodejs npm`; https://nodejs.org)"
)


def node() -> Path:
    """Node itself; raises ``Missing``, in words that say how to get it."""
    found = shutil.which("node") or shutil.which("nodejs")
    if found is None:
        raise Missing(f"There is no `node` on PATH: {_HOW}")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30).stdout
    version = re.match(r"v(\d+)\.", said)
    if version is None or int(version[1]) < OLDEST_NODE:
        raise Missing(f"{found} is {said.strip() or 'of no version'}: {_HOW}")
    return Path(found)


@dataclass(frozen=True)
class NodePackages:
    """The packages of one lock file: ``folder`` has it, and ``package.json`` beside it."""

    name: str
    folder: Path

    def modules(self) -> Path:
        """The installed ``node_modules``; raises ``Missing``, in words that say how to get it."""
        found = self._home() / "node_modules"
        if not found.is_dir():
            how = f"`python -m tools.node_packages {self.name}` installs them"
            raise Missing(f"The packages of {self.folder.name} are not installed: {how}")
        return found

    def install(self) -> Path:
        """Installs the packages, unless they are there.

        Raises:
            Missing: there is no Node, or no npm.
            subprocess.SubprocessError: npm failed, or took too long.
        """
        home = self._home()
        node()
        npm = shutil.which("npm")
        if npm is None:
            raise Missing(f"There is no `npm` on PATH: {_HOW}")
        if not home.is_dir():
            home.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".installing-", dir=home.parent) as folder:
                self._install_in(Path(folder) / "new", npm, home)
        return home

    def _install_in(self, folder: Path, npm: str, home: Path) -> None:
        folder.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(self.folder / name, folder)
        # No package may run a program of its own while it is installed.
        command = [npm, "ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_LIMIT_S)
        os.replace(folder, home)

    def _home(self) -> Path:
        digest = hashlib.sha256((self.folder / "package-lock.json").read_bytes()).hexdigest()[:16]
        return cache_dir().parent / "node" / digest


# The OpenID Connect provider that tests sign in at.
PROVIDER = NodePackages("provider", CHECKOUT / "tests" / "provider")
# The compiler of the TypeScript client, and what writes its types.
CLIENT = NodePackages("client", CHECKOUT / "clients" / "typescript")
# What the tests of the console ask a page's accessibility with.
CONSOLE = NodePackages("console", CHECKOUT / "tests" / "console")
SETS = {one.name: one for one in (PROVIDER, CLIENT, CONSOLE)}


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all that was asked for is there at the end."""
    parser = argparse.ArgumentParser(prog="python -m tools.node_packages", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, or of {', '.join(SETS)}")
    names = parser.parse_args(arguments).names or list(SETS)
    if unknown := sorted(set(names) - set(SETS)):
        parser.error(f"there is no {', '.join(unknown)}: {', '.join(SETS)}")
    try:
        for name in names:
            print(f"{name}: {SETS[name].install()}")
    except (Missing, subprocess.SubprocessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
