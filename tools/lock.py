"""``python -m tools.lock``: writes ``requirements.lock`` from ``setup.py``, and reads it.

The lock has every package needed at run time, also for gRPC, traces and Redis, with versions and
digests, for every platform and Python that the gateway supports. It is for the image and any other
installation that must not change by itself. Locked versions stay unless ``--upgrade``, or
``--upgrade-package`` with a name, is given; both are passed to ``uv``. The file names no package
index.
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
# Extras that are part of a production installation.
EXTRAS = ("grpc", "oidc", "otel", "redis")
HEADER = "# Written by `python -m tools.lock` from setup.py; see SECURITY.md.\n"

_PINNED = re.compile(r"([a-z0-9-]+)==([^\s;]+)(?: ; ([^\\]+?))?(?: \\)?\Z")
_DIGEST = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Locked:
    """One locked package; ``marker`` is its PEP 508 condition, ``None`` for everywhere."""

    name: str
    version: str
    marker: str | None
    sha256: tuple[str, ...]


def locked(text: str) -> list[Locked]:
    """The packages of a lock file. Raises ``ValueError`` for a line that it cannot contain."""
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
        print("uv is not installed; `tox -e lock` installs it.", file=sys.stderr)
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
