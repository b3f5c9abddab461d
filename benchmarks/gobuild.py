"""The stub core, the load generator, the Go proxy, a certificate: built from ``go`` into a folder.

Go keeps what it compiled, so that only the first build takes more than a second.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from devstack.components import Missing
from devstack.processes import Child, run_to_end

SOURCES = Path(__file__).with_name("go")
PROGRAMS = ("stubcore", "load", "reverseproxy", "certificate")
BUILD_LIMIT_S = 300.0


def find_go() -> str:
    """Raises ``Missing`` where there is no Go."""
    for place in (os.environ.get("PATH", os.defpath), "/usr/local/go/bin"):
        if go := shutil.which("go", path=place):
            return go
    raise Missing("benchmarks: no `go` on PATH; the load generator is written in it (go.dev/dl)")


async def build(folder: Path) -> dict[str, Path]:
    """Builds every program into ``folder``; program → path.

    Raises:
        Missing: there is no Go. StartFailed: it does not compile.
    """
    command = [find_go(), "build", "-o", f"{folder}{os.sep}", "./..."]
    env = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOPROXY": "off"}
    await run_to_end(Child("go build", command, env=env, cwd=SOURCES), BUILD_LIMIT_S)
    return {program: folder / program for program in PROGRAMS}
