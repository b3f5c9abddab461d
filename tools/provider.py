"""``python -m tools.provider``: installs the OpenID Connect provider that tests sign in at.

It is npm's ``oidc-provider``, at the versions of ``tests/provider/package-lock.json``, in a folder
of our cache that is named after that file. Needs Node 20 or newer, with npm.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from devstack.components import Missing, cache_dir

FILES = Path(__file__).parents[1] / "tests" / "provider"
OLDEST_NODE = 20
INSTALL_LIMIT_S = 10 * 60
_HOW = (
    "the company's provider in tests needs Node 20 or newer with npm (Debian 13 and Ubuntu 25.04:"
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


def modules() -> Path:
    """The installed packages; raises ``Missing``, in words that say how to get them."""
    found = _home() / "node_modules"
    if not found.is_dir():
        raise Missing("oidc-provider is not installed: `python -m tools.provider` installs it")
    return found


def install() -> Path:
    """Installs the packages, unless they are there.

    Raises:
        Missing: there is no Node, or no npm.
        subprocess.SubprocessError: npm failed, or took too long.
    """
    home = _home()
    node()
    npm = shutil.which("npm")
    if npm is None:
        raise Missing(f"There is no `npm` on PATH: {_HOW}")
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".installing-", dir=home.parent) as folder:
            _install_in(Path(folder) / "new", npm, home)
    return home


def _install_in(folder: Path, npm: str, home: Path) -> None:
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(FILES / name, folder)
    # No package may run a program of its own while it is installed.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_LIMIT_S)
    os.replace(folder, home)


def _home() -> Path:
    digest = hashlib.sha256((FILES / "package-lock.json").read_bytes()).hexdigest()[:16]
    return cache_dir().parent / "node" / digest


def main() -> int:
    """0 when it is there at the end."""
    try:
        print(f"oidc-provider: {install()}")
    except (Missing, subprocess.SubprocessError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
