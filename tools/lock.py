"""``python -m tools.lock``: ``requirements.lock``, from what ``setup.py`` asks for; and reading it.

The lock holds what is needed at run time, traces included, with versions and digests, for every
platform and Python the gateway supports: the image and any other installation that should not
change by itself. Versions stay as they are locked unless ``--upgrade`` is given, or
``--upgrade-package`` with a name, which go to ``uv`` as they are. No index is named in it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
LOCK = CHECKOUT / "requirements.lock"
OLDEST_PYTHON = "3.11"
# Installed with the gateway where it runs for others.
EXTRAS = ("otel",)
HEADER = "# Written by `python -m tools.lock` from setup.py; see SECURITY.md.\n"

_PINNED = re.compile(r"([a-z0-9-]+)==([^\s;]+)(?: ; ([^\\]+?))?(?: \\)?\Z")
_DIGEST = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Locked:
    """One package as it is locked; ``marker`` says where (PEP 508), ``None`` everywhere."""

    name: str
    version: str
    marker: str | None
    sha256: tuple[str, ...]


def locked(text: str) -> list[Locked]:
    """What a lock file holds. Raises ``ValueError`` for a line that is no part of one."""
    found: list[Locked] = []
    for line in text.splitlines():
        if digest := _DIGEST.search(line):
            last = found[-1]
            digests = (*last.sha256, digest[1])
            found[-1] = Locked(last.name, last.version, last.marker, digests)
        elif line and not line.lstrip().startswith("#"):
            pinned = _PINNED.match(line)
            if pinned is None:
                raise ValueError(f"not a locked package: {line!r}")
            found.append(Locked(pinned[1], pinned[2], pinned[3], ()))
    return found


def _setup() -> str:
    return (CHECKOUT / "setup.py").read_text("utf-8")


def main(arguments: list[str]) -> int:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}") or shutil.which("uv")
    if uv is None:
        print("uv is not installed; tox -e lock brings it.", file=sys.stderr)
        return 1
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON]
    command += ["--generate-hashes", "--no-header", "--no-emit-find-links"]
    command += [f"--extra={extra}" for extra in EXTRAS if f'"{extra}": ' in _setup()]
    command += ["--output-file", str(LOCK), *arguments, "setup.py"]
    done = subprocess.run(command, cwd=CHECKOUT, check=False)
    if done.returncode == 0:
        text = LOCK.read_text("utf-8")
        LOCK.write_text(text if text.startswith(HEADER) else HEADER + text, "utf-8")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
